// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tailscale/wireguard-go/tun"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// TestBatchIsTaken fails when batched reading is silently not in effect.
func TestBatchIsTaken(t *testing.T) {
	l := newLab(t, nil)
	if s := l.dev.Stats().Queues[0]; !s.Batched {
		t.Fatalf("queue is not batched: %s", s.Plain)
	}
	const count = 50
	burst(t, l, hostV4, remoteV4, count, 100)
	got, err := read(l.dev)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != count {
		t.Fatalf("first Read returned %d packets, want all %d", len(got), count)
	}
	want := tunwrap.ReadStats{
		Packets: count, Bytes: count * 128, Reads: 1, Batches: tunwrap.Histogram{5: 1}, Syscalls: count + 1,
	}
	if diff := cmp.Diff(want, l.dev.Stats().Queues[0].Read); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// burst sends numbered datagrams of n bytes out through the device.
func burst(t testing.TB, l *lab, host, remote netip.Addr, count, n int) {
	t.Helper()
	c := l.listen(t, host)
	payload := make([]byte, n)
	for i := range count {
		binary.BigEndian.PutUint32(payload, uint32(i))
		if _, err := c.WriteToUDPAddrPort(payload, netip.AddrPortFrom(remote, 9)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBurst sends bursts that wait in the queue and reads them: complete, in
// order, every checksum right.
func TestBurst(t *testing.T) {
	for _, mtu := range []int{1420, 8920} {
		for _, to := range [][2]netip.Addr{{hostV4, remoteV4}, {hostV6, remoteV6}} {
			for _, size := range []int{4, 172, mtu - 48} {
				t.Run(fmt.Sprintf("MTU %d, %d bytes to %v", mtu, size, to[1]), func(t *testing.T) {
					l := newLab(t, &tunwrap.Options{MTU: mtu})
					const count = 400 // of the 500 that a TUN's queue holds
					burst(t, l, to[0], to[1], count, size)
					for next := 0; next < count; {
						got, err := read(l.dev)
						if err != nil {
							t.Fatal(err)
						}
						for _, p := range got {
							seq := int(binary.BigEndian.Uint32(p[len(p)-size:]))
							if seq != next || !testutil.ChecksumsOK(p) {
								t.Fatalf("read datagram %d with checksums right %v, want %d", seq, testutil.ChecksumsOK(p), next)
							}
							next++
						}
					}
					if drops := l.dev.Stats().Queues[0].Read.Dropped; drops.Total() != 0 {
						t.Errorf("drops %+v", drops)
					}
				})
			}
		}
	}
}

// TestInjected sends what the oracle describes through the kernel with a packet
// socket that takes virtio headers, and reads it from the TUN.
func TestInjected(t *testing.T) {
	l := newLab(t, &tunwrap.Options{MTU: 9000})
	packets := []*kernelPacket{
		{payload: 65000, gso: 1380, flags: ack | psh, options: 12},
		{payload: 65000, gso: 300, flags: ack | psh, seq: 0xfffffff0}, // 217 segments
		{udp: true, payload: 100, partial: true},
		{v6: true, payload: 60000, gso: 1360, flags: ack | fin},
		{v6: true, payload: 60000, gso: 250, flags: ack},
		{udp: true, payload: 60000, gso: 1000},
		{v6: true, udp: true, payload: 60000, gso: 1000},
		{payload: 20, flags: ack | psh, seq: 9},
	}
	var want [][]byte
	for _, k := range packets {
		want = append(want, k.want()...)
	}
	l.must(t, func() error { return inject(packets) })
	for got := 0; got < len(want); {
		batch, err := read(l.dev)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range batch {
			if !samePacket(p, want[got]) {
				t.Fatalf("packet %d:\n got %x\nwant %x", got, clip(p), clip(want[got]))
			}
			got++
		}
	}
	s := l.dev.Stats().Queues[0].Read
	if s.Superpackets < 4 || s.Carried < 2 || s.Dropped.Total() != 0 {
		t.Errorf("stats %+v, want superpackets, some carried over, and no drops", s)
	}
}

// inject sends packets out through the test's interface.
func inject(packets []*kernelPacket) error {
	ifi, err := net.InterfaceByName(ifName)
	if err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(s)
	if err := unix.SetsockoptInt(s, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	for i, k := range packets {
		proto := uint16(unix.ETH_P_IP)
		if k.v6 {
			proto = unix.ETH_P_IPV6
		}
		to := &unix.SockaddrLinklayer{Ifindex: ifi.Index, Protocol: proto<<8 | proto>>8}
		frame := k.frame()
		if k.gso > 0 { // the kernel does look at the header length here
			binary.NativeEndian.PutUint16(frame[2:], uint16(k.ipLen()+k.transportLen()))
		}
		if err := unix.Sendto(s, frame, 0, to); err != nil {
			return fmt.Errorf("packet %d: %w", i, os.NewSyscallError("sendto", err))
		}
	}
	return nil
}

// TestDeleted checks that deleting the interface ends reads, those in progress
// and later ones, and writes.
func TestDeleted(t *testing.T) {
	for _, o := range []tunwrap.Options{{}, {Queues: 3}, {PlainReads: true}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			testutil.NeedNetNS(t)
			testutil.LeakCheck(t)
			l := newLab(t, &o)
			queues := l.dev.Queues()
			ended := make(chan error, len(queues))
			for _, q := range queues {
				go func() {
					_, err := read(q)
					ended <- err
				}()
			}
			waitForReaders(t, len(queues))
			l.must(t, deleteLink)
			for range queues {
				if err := <-ended; !errors.Is(err, os.ErrClosed) {
					t.Errorf("Read in progress: %v, want os.ErrClosed", err)
				}
			}
			for _, q := range queues {
				if _, err := read(q); !errors.Is(err, os.ErrClosed) {
					t.Errorf("Read after deletion: %v, want os.ErrClosed", err)
				}
			}
			bufs := [][]byte{append(make([]byte, 16), testutil.UDP(netip.AddrPortFrom(remoteV4, 1), netip.AddrPortFrom(hostV4, 2), nil)...)}
			if n, err := l.dev.Write(bufs, 16); n != 0 || !errors.Is(err, os.ErrClosed) {
				t.Errorf("Write after deletion returned %d, %v, want os.ErrClosed", n, err)
			}
			if s := l.dev.Stats().Queues[0].Write; s.Dropped.Closed != 1 {
				t.Errorf("write stats %+v, want one packet dropped as closed", s)
			}
			if name, err := l.dev.Name(); name != ifName || err != nil {
				t.Errorf("Name after deletion: %q, %v, want the last known", name, err)
			}
			if mtu, err := l.dev.MTU(); mtu != tunwrap.DefaultMTU || err != nil {
				t.Errorf("MTU after deletion: %d, %v, want the last known", mtu, err)
			}
			if err := l.dev.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// waitForReaders waits until so many goroutines wait in the poller for packets.
// A deletion before would end them too, but on another way.
func waitForReaders(t *testing.T, n int) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	testutil.Eventually(t, 10*time.Second, "readers wait", func() error {
		waiting := 0
		for g := range bytes.SplitSeq(stacks[:runtime.Stack(stacks, true)], []byte("\n\n")) {
			if bytes.Contains(g, []byte("[IO wait")) && bytes.Contains(g, []byte("tunwrap.(*queue).Read(")) {
				waiting++
			}
		}
		if waiting < n {
			return fmt.Errorf("%d of %d", waiting, n)
		}
		return nil
	})
}

// TestMoved moves the interface to another namespace, renames it and changes
// its MTU there, while it is open.
func TestMoved(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	l := newLab(t, nil)
	there := testutil.NewNS(t)
	l.must(t, func() error {
		link, err := netlink.LinkByName(ifName)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetDown(link), netlink.LinkSetNsFd(link, int(there.File().Fd())))
	})
	if err := there.Do(func() error {
		link, err := netlink.LinkByName(ifName)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetMTU(link, 1300), netlink.LinkSetName(link, "moved0"))
	}); err != nil {
		t.Fatal(err)
	}
	if name, err := l.dev.Name(); name != "moved0" || err != nil {
		t.Errorf("Name %q, %v, want moved0", name, err)
	}
	if mtu, err := l.dev.MTU(); mtu != 1300 || err != nil {
		t.Errorf("MTU %d, %v, want 1300", mtu, err)
	}
	// An interface of the old name must not be taken for it.
	l.must(t, func() error {
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "moved0", MTU: 1111}, PeerName: "peer0"})
		if mtu, mtuErr := l.dev.MTU(); mtu != 1300 || mtuErr != nil {
			t.Errorf("MTU %d, %v beside another interface of the name, want 1300", mtu, mtuErr)
		}
		return err
	})
	// It still carries packets.
	moved := &lab{NS: there, dev: l.dev}
	moved.must(t, func() error {
		link, err := netlink.LinkByName("moved0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetName(link, ifName); err != nil {
			return err
		}
		return configure(hostV4)
	})
	exchange(t, moved)
}

// TestUpAndDown pins what the package says about the state of the interface.
func TestUpAndDown(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	l := &lab{NS: testutil.NewNS(t)}
	l.must(t, func() (err error) {
		l.dev, err = tunwrap.Create(ifName, oneQueue(&tunwrap.Options{Logger: testutil.Logger(t)}))
		return err
	})
	defer l.dev.Close()
	for e := range l.dev.Events() {
		if e&tun.EventDown != 0 {
			t.Errorf("event %b of an interface that was never up", e)
		}
		if e&tun.EventUp != 0 { // though it is down
			break
		}
	}
	host, remote := netip.AddrPortFrom(hostV4, 7), netip.AddrPortFrom(remoteV4, 9)
	packet := func() []byte { return append(make([]byte, 16), testutil.UDP(remote, host, make([]byte, 20))...) }
	write := func(want int) {
		t.Helper()
		if n, err := l.dev.Write([][]byte{packet(), packet(), packet()}, 16); n != want || err != nil {
			t.Errorf("Write returned %d, %v, want %d", n, err, want)
		}
	}
	write(0)
	l.must(t, func() error { return configure(hostV4) })
	write(3)
	l.must(t, func() error {
		link, err := netlink.LinkByName(ifName)
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(link)
	})
	write(0)
	s := l.dev.Stats().Queues[0].Write
	want := tunwrap.WriteStats{
		Packets: 3, Bytes: 3 * 48, Writes: 1, Batches: tunwrap.Histogram{1: 1},
		UDP:    tunwrap.MergeStats{Packets: 3, Superpackets: 1},
		Errors: 2, Dropped: tunwrap.WriteDrops{Down: 6},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// TestRefused mixes packets that the kernel does not take into batches that are
// merged.
func TestRefused(t *testing.T) {
	l := newLab(t, nil)
	c := l.listen(t, hostV4)
	host, remote := netip.MustParseAddrPort(c.LocalAddr().String()), netip.AddrPortFrom(remoteV4, 9)
	good := func() []byte { return append(make([]byte, 16), testutil.UDP(remote, host, make([]byte, 20))...) }
	bad := func() []byte { return append(make([]byte, 16), 0x55, 1, 2, 3) } // IP version 5
	n, err := l.dev.Write([][]byte{good(), good(), bad(), good()}, 16)
	if n != 3 || err != nil {
		t.Errorf("Write returned %d, %v, want 3", n, err)
	}
	b := make([]byte, 100)
	for i := range 3 {
		if n, err := c.Read(b); n != 20 || err != nil {
			t.Errorf("host received %d bytes, %v in datagram %d", n, err, i)
		}
	}
	s := l.dev.Stats().Queues[0].Write
	if s.Packets != 3 || s.Bytes != 3*48 || s.Errors != 1 || s.Dropped != (tunwrap.WriteDrops{Invalid: 1}) {
		t.Errorf("stats %+v, want 3 packets and one invalid", s)
	}
	// An offset without room for the virtio header is the caller's mistake.
	if n, err := l.dev.Write([][]byte{good(), good()}, 4); n != 0 || err == nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("Write at offset 4 returned %d, %v, want an error", n, err)
	}
	if s := l.dev.Stats().Queues[0].Write; s.Dropped.Other != 2 {
		t.Errorf("stats %+v, want 2 packets dropped for another reason", s)
	}
}

// TestSingle proves that a packet alone arrives, allocates nothing, and that what the
// kernel says of it is counted.
func TestSingle(t *testing.T) {
	l := newLab(t, nil)
	c := l.listen(t, hostV4)
	host, remote := netip.MustParseAddrPort(c.LocalAddr().String()), netip.AddrPortFrom(remoteV4, 9)
	good := append(make([]byte, 16), testutil.UDP(remote, host, []byte("alone"))...)
	for i := range good[:16] {
		good[i] = 0xff // the headroom is nobody's: the header in it is ours
	}
	bufs := [][]byte{good}
	if allocs := testing.AllocsPerRun(50, func() {
		if n, err := l.dev.Write(bufs, 16); n != 1 || err != nil {
			t.Fatalf("Write returned %d, %v", n, err)
		}
	}); allocs > singleAllocs {
		t.Errorf("%v allocations, want at most %d", allocs, singleAllocs)
	}
	b := make([]byte, 100)
	for range 51 {
		if n, err := c.Read(b); string(b[:n]) != "alone" || err != nil {
			t.Fatalf("host received %q, %v", b[:n], err)
		}
	}
	bad := append(make([]byte, 16), 0x55, 1, 2, 3)
	if n, err := l.dev.Write([][]byte{bad}, 16); n != 0 || err != nil {
		t.Errorf("a packet of no IP version: Write returned %d, %v", n, err)
	}
	s := l.dev.Stats().Queues[0].Write
	if s.Single != 51 || s.Packets != 51 || s.Errors != 1 || s.Dropped != (tunwrap.WriteDrops{Invalid: 1}) {
		t.Errorf("stats %+v, want 51 single packets and one invalid", s)
	}
	if n, err := l.dev.Write(bufs, 4); n != 0 || err == nil {
		t.Errorf("Write at offset 4 returned %d, %v, want an error", n, err)
	}
	l.dev.Close()
	if n, err := l.dev.Write(bufs, 16); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: Write returned %d, %v", n, err)
	}
}

func TestKernelReadNoAllocs(t *testing.T) {
	l := newLab(t, nil)
	c := l.listen(t, hostV4)
	remote := netip.AddrPortFrom(remoteV4, 9)
	payload := make([]byte, 100)
	slab, packets := make([]byte, slabLen), make([]tun.ReadPacket, batchSize)
	if n := testing.AllocsPerRun(100, func() {
		for range 20 {
			if _, err := c.WriteToUDPAddrPort(payload, remote); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := l.dev.Read(slab, packets); n != 20 || err != nil {
			t.Fatalf("Read returned %d, %v", n, err)
		}
	}); n != 0 {
		t.Errorf("reading a batch allocates %v times", n)
	}
}

// TestMerged writes flows that interleave: the host receives every datagram, each
// flow's in order.
func TestMerged(t *testing.T) {
	const flows, each = 5, 12
	for _, addr := range [][2]netip.Addr{{hostV4, remoteV4}, {hostV6, remoteV6}} {
		l := newLab(t, nil)
		c := l.listen(t, addr[0])
		host := netip.MustParseAddrPort(c.LocalAddr().String())
		var bufs [][]byte
		for i := range each {
			for f := range flows {
				p := testutil.UDP(netip.AddrPortFrom(addr[1], uint16(100+f)), host, []byte{byte(f), byte(i), 0, 0})
				if p[0]>>4 == 4 {
					p[6] = 0x40
					repair(p)
				}
				bufs = append(bufs, append(make([]byte, 16), p...))
			}
		}
		if n, err := l.dev.Write(bufs, 16); n != len(bufs) || err != nil {
			t.Fatalf("Write returned %d, %v", n, err)
		}
		var next [flows]byte
		b := make([]byte, 100)
		for range bufs {
			if n, err := c.Read(b); n != 4 || err != nil || b[1] != next[b[0]] {
				t.Fatalf("host received %x, %v, want number %d of the flow", b[:n], err, next[b[0]])
			}
			next[b[0]]++
		}
		w := l.dev.Stats().Queues[0].Write
		if want := (tunwrap.MergeStats{Packets: flows * each, Superpackets: flows}); w.UDP != want {
			t.Errorf("UDP %+v, want %+v", w.UDP, want)
		}
	}
}
