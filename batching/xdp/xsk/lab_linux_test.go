// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// A lab is a veth pair in a namespace of its own, with a socket on each end. What
// arrives with the test's EtherType at the far end goes to its socket.
type lab struct {
	ns        *testutil.NS
	near, far netlink.Link
	tx, rx    *xsk.Socket
}

// etherType is one for experiments (IEEE 802, clause 9.2.3.4); the kernel's own
// packets have others.
const etherType = 0x88b5

func newLab(t testing.TB, flags link.XDPAttachFlags, near, far *xsk.Options) *lab {
	t.Helper()
	l := newPair(t, 1)
	l.ns.Run(func() {
		l.tx = open(t, l.near, near)
		l.rx = open(t, l.far, far)
		redirect(t, l.far, flags, l.rx)
	})
	return l
}

// newPair is a lab without sockets. A frame sent from queue n of one end arrives on
// queue n of the other in native mode (veth_xmit in drivers/net/veth.c) and on queue
// n-1 in generic mode, from queue 0 on 0: that is the same number in the packet, read
// by skb_get_rx_queue, to which 0 means none.
func newPair(t testing.TB, queues int) *lab {
	t.Helper()
	testutil.NeedNetNS(t)
	l := &lab{ns: testutil.NewNS(t)}
	l.ns.Run(func() {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "near", NumTxQueues: queues, NumRxQueues: queues}, PeerName: "far"}
		if err := netlink.LinkAdd(pair); err != nil {
			t.Fatal(err)
		}
		for name, l := range map[string]*netlink.Link{"near": &l.near, "far": &l.far} {
			var err error
			if *l, err = netlink.LinkByName(name); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(netlink.LinkSetMTU(*l, 3000), netlink.LinkSetUp(*l)); err != nil {
				t.Fatal(err)
			}
		}
	})
	return l
}

func open(t testing.TB, l netlink.Link, o *xsk.Options) *xsk.Socket {
	t.Helper()
	s, err := xsk.Open(l.Attrs().Index, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// redirect attaches a program that gives packets of the test's EtherType to the
// socket of their queue, and returns the map of the sockets.
func redirect(t testing.TB, l netlink.Link, flags link.XDPAttachFlags, s ...*xsk.Socket) *ebpf.Map {
	t.Helper()
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(len(s))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sockets.Close() })
	for i := range s {
		if err := sockets.Put(uint32(i), uint32(s[i].FD())); err != nil {
			t.Fatal(err)
		}
	}
	wire := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, etherType))
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 14),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R5, asm.R2, 12, asm.Half),
		asm.JNE.Imm(asm.R5, int32(wire), "pass"),
		asm.LoadMem(asm.R2, asm.R1, 16, asm.Word), // rx_queue_index
		asm.LoadMapPtr(asm.R1, sockets.FD()),
		asm.Mov.Imm(asm.R3, 2), // XDP_PASS for a queue without a socket
		asm.FnRedirectMap.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	at, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: l.Attrs().Index, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := at.Close(); err != nil {
			t.Error(err)
		}
	})
	return sockets
}

// packet returns an Ethernet frame of size bytes with number seq in it.
func packet(seq, size int) []byte {
	b := bytes.Repeat([]byte{byte(seq)}, size)
	copy(b, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01")
	binary.BigEndian.PutUint16(b[12:], etherType)
	binary.BigEndian.PutUint32(b[14:], uint32(seq))
	return b
}

// deadline keeps a test that waits for something lost from hanging.
func deadline(t testing.TB, s ...*xsk.Socket) {
	t.Helper()
	for _, s := range s {
		if err := errors.Join(s.SetReadDeadline(time.Now().Add(30*time.Second)), s.SetWriteDeadline(time.Now().Add(30*time.Second))); err != nil {
			t.Fatal(err)
		}
	}
}

// write sends all of bufs, waiting for frames.
func write(t testing.TB, s *xsk.Socket, bufs ...[]byte) {
	t.Helper()
	for len(bufs) > 0 {
		n, err := s.BatchWrite(bufs, 0)
		if err == nil && n == 0 {
			err = s.WaitWrite()
		}
		if err != nil {
			t.Fatal(err)
		}
		bufs = bufs[n:]
	}
}

// expect reads exactly the packets of want, in order, and gives them back.
func expect(t *testing.T, s *xsk.Socket, want ...[]byte) {
	t.Helper()
	frames := make([]xsk.Frame, 8)
	for len(want) > 0 {
		n, err := s.BatchRead(frames[:min(8, len(want))])
		if err != nil {
			t.Fatalf("%v, %d packets missing, %+v", err, len(want), s.Stats())
		}
		for i, f := range frames[:n] {
			if !bytes.Equal(f.Data, want[i]) {
				t.Fatalf("got %d bytes %x…, want %d bytes %x…", len(f.Data), f.Data[:18], len(want[i]), want[i][:18])
			}
		}
		if err := s.Release(frames[:n]); err != nil {
			t.Fatal(err)
		}
		want = want[n:]
	}
}
