// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// sizes returns n payloads of the size, the last of another one.
func sizes(n, size, last int) [][]byte {
	var out [][]byte
	for i := range n {
		if i == n-1 {
			size = last
		}
		b := pattern(size)
		if size > 0 {
			b[0] = byte(i)
		}
		out = append(out, b)
	}
	return out
}

func flow(v6 bool) (src, dst netip.AddrPort) {
	if v6 {
		return netip.AddrPortFrom(hostV6, 1000), netip.AddrPortFrom(farV6, 2000)
	}
	return netip.AddrPortFrom(hostV4, 1000), netip.AddrPortFrom(farV4, 2000)
}

// parseUDP returns the payload of a packet that is right in all its fields.
func parseUDP(tb testing.TB, b []byte, src, dst netip.AddrPort) []byte {
	tb.Helper()
	at := 20
	if b[0]>>4 == 6 {
		at = 40
	}
	if !testutil.ChecksumsOK(b) {
		tb.Fatalf("packet with wrong lengths or checksums: % x", b[:min(len(b), 60)])
	}
	u := b[at:]
	a := b[8:40]
	if at == 20 {
		a = b[12:20]
		if b[8] != 64 || b[6]&0x40 != 0 {
			tb.Errorf("ttl %d, flags %#x", b[8], b[6])
		}
	} else if b[7] != 64 {
		tb.Errorf("hop limit %d", b[7])
	}
	if !bytes.Equal(a, append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)) ||
		binary.BigEndian.Uint16(u) != src.Port() || binary.BigEndian.Uint16(u[2:]) != dst.Port() {
		tb.Fatalf("packet of another flow: % x", b[:at+8])
	}
	if int(binary.BigEndian.Uint16(u[4:])) != len(u) || u[6] == 0 && u[7] == 0 {
		tb.Fatalf("udp header % x for %d bytes", u[:8], len(u))
	}
	return u[8:]
}

// readUDP reads n packets of the flow and checks the layout of every Read.
func readUDP(tb testing.TB, q tun.Queue, n, slabLen, slots int, src, dst netip.AddrPort) (payloads [][]byte, ids []uint16) {
	tb.Helper()
	slab, pkts := make([]byte, slabLen), make([]tun.ReadPacket, slots)
	for len(payloads) < n {
		k, err := q.Read(slab, pkts)
		if err != nil {
			tb.Fatalf("after %d of %d packets: %v", len(payloads), n, err)
		}
		end := 0
		for _, p := range pkts[:k] {
			if p.Offset < end+netstack.Spacing || p.Offset+p.Size+netstack.Spacing > slabLen {
				tb.Fatalf("packet at %d+%d after %d in a slab of %d", p.Offset, p.Size, end, slabLen)
			}
			end = p.Offset + p.Size
			b := slab[p.Offset:end]
			ids = append(ids, binary.BigEndian.Uint16(b[4:]))
			payloads = append(payloads, bytes.Clone(parseUDP(tb, b, src, dst)))
		}
	}
	return payloads, ids
}

func equal(tb testing.TB, got, want [][]byte) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("%d datagrams, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			tb.Fatalf("datagram %d of %d: %d bytes, want %d", i, len(want), len(got[i]), len(want[i]))
		}
	}
}

// TestSendDatagrams sends datagrams of many sizes and checks what Read makes of
// them, for slabs in which superpackets fit and in which they do not.
func TestSendDatagrams(t *testing.T) {
	for _, tt := range []struct {
		name           string
		payloads       [][]byte
		slabLen, slots int
		entries        int    // in the ring
		supers         uint64 // superpackets read
	}{
		{name: "one", payloads: sizes(1, 0, 100), entries: 1},
		{name: "empty", payloads: sizes(3, 0, 0), entries: 3},
		{name: "empty at the end", payloads: sizes(3, 9, 0), entries: 2, supers: 1},
		{name: "two", payloads: sizes(2, 1000, 1000), entries: 1, supers: 1},
		{name: "last smaller", payloads: sizes(10, 1000, 1), entries: 1, supers: 1},
		{name: "last larger", payloads: sizes(10, 1000, 1001), entries: 2, supers: 1},
		{name: "full packets", payloads: sizes(40, 1372, 1372), entries: 1, supers: 1},
		{name: "more than one", payloads: sizes(128, 1200, 1200), entries: 3, supers: 3},
		{name: "64 tiny", payloads: sizes(128, 1, 1), entries: 2, supers: 2},
		{name: "slab of three", payloads: sizes(30, 1000, 900), slabLen: 3*(1048+64) + 64, entries: 1, supers: 1},
		{name: "slab of one", payloads: sizes(30, 1000, 900), slabLen: 1048 + 128, entries: 1, supers: 1},
		{name: "one slot", payloads: sizes(30, 10, 9), slots: 1, entries: 1, supers: 1},
	} {
		for _, v6 := range []bool{false, true} {
			name := tt.name + " v4"
			if v6 {
				name = tt.name + " v6"
			}
			t.Run(name, func(t *testing.T) {
				d := newDevice(t, &netstack.Options{Queues: 1})
				src, dst := flow(v6)
				payloads := tt.payloads
				if v6 && len(payloads[0]) == 1372 {
					payloads = sizes(40, 1352, 1352) // what fills a packet
				}
				n, err := d.Net().SendDatagrams(&netstack.Datagrams{Source: src, Destination: dst, Payloads: payloads})
				if n != len(payloads) || err != nil {
					t.Fatalf("sent %d of %d: %v", n, len(payloads), err)
				}
				if got := d.Stats().Queues[0].Depth; got != tt.entries {
					t.Errorf("%d entries, want %d", got, tt.entries)
				}
				slabLen, slots := tt.slabLen, tt.slots
				if slabLen == 0 {
					slabLen = netstack.SlabSize
				}
				if slots == 0 {
					slots = netstack.BatchSize
				}
				got, ids := readUDP(t, d, len(payloads), slabLen, slots, src, dst)
				equal(t, got, payloads)
				for i := range ids[1:] {
					if !v6 && ids[i+1] != ids[i]+1 {
						t.Errorf("identification %d after %d", ids[i+1], ids[i])
					}
				}
				s := d.Stats()
				if s.Queues[0].Superpackets != tt.supers || s.Queues[0].Depth != 0 || s.UDP.Sent != uint64(len(payloads)) || s.UDP.SentFragmented != 0 {
					t.Errorf("stats %+v", s)
				}
				if d.RawOut() != 0 {
					t.Errorf("%d buffers not given back", d.RawOut())
				}
			})
		}
	}
}

// TestUDPChecksumZero sends a datagram whose checksum comes out as zero, which
// would mean that there is none, alone and in superpackets.
func TestUDPChecksumZero(t *testing.T) {
	d := newDevice(t, &netstack.Options{Queues: 1})
	for _, v6 := range []bool{false, true} {
		src, dst := flow(v6)
		sumAt := 26
		if v6 {
			sumAt = 46
		}
		var payload []byte
		for i := range 1 << 16 {
			b := binary.BigEndian.AppendUint16(nil, uint16(i))
			if p := testutil.UDP(src, dst, b); p[sumAt] == 0xff && p[sumAt+1] == 0xff {
				payload = b
				break
			}
		}
		if payload == nil {
			t.Fatal("no such payload")
		}
		for _, together := range []int{1, 3} {
			payloads := slices.Repeat([][]byte{payload}, together)
			if _, err := d.Net().SendDatagrams(&netstack.Datagrams{Source: src, Destination: dst, Payloads: payloads}); err != nil {
				t.Fatal(err)
			}
			got, _ := readUDP(t, d, together, netstack.SlabSize, netstack.BatchSize, src, dst) // none is zero
			equal(t, got, payloads)
		}
	}
}

func TestSendDatagramsErrors(t *testing.T) {
	d := newDevice(t, nil)
	src, dst := flow(false)
	src6, dst6 := flow(true)
	one := [][]byte{{1}}
	for _, tt := range []struct {
		name string
		g    netstack.Datagrams
		n    int
		want error // nil: any
	}{
		{"no source", netstack.Datagrams{Destination: dst, Payloads: one}, 0, nil},
		{"no destination", netstack.Datagrams{Source: src, Payloads: one}, 0, nil},
		{"families", netstack.Datagrams{Source: src6, Destination: dst, Payloads: one}, 0, nil},
		{"any source", netstack.Datagrams{Source: netip.MustParseAddrPort("0.0.0.0:1"), Destination: dst, Payloads: one}, 0, nil},
		{"multicast", netstack.Datagrams{Source: src6, Destination: netip.MustParseAddrPort("[ff02::1]:1"), Payloads: one}, 0, nil},
		{"port 0", netstack.Datagrams{Source: src, Destination: netip.AddrPortFrom(farV4, 0), Payloads: one}, 0, syscall.EINVAL},
		{"too long", netstack.Datagrams{Source: src, Destination: dst, Payloads: [][]byte{{1}, {2}, make([]byte, 65508)}}, 2, syscall.EMSGSIZE},
		{"too long v6", netstack.Datagrams{Source: src6, Destination: dst6, Payloads: [][]byte{make([]byte, 65488)}}, 0, syscall.EMSGSIZE},
		{"too long, own", netstack.Datagrams{Source: src, Destination: netip.AddrPortFrom(hostV4, 1), Payloads: [][]byte{{1}, make([]byte, 65508)}}, 1, syscall.EMSGSIZE},
	} {
		n, err := d.Net().SendDatagrams(&tt.g)
		var op *net.OpError
		if n != tt.n || !errors.As(err, &op) || op.Op != "write" || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %d, %v", tt.name, n, err)
		}
	}
	if n, err := d.Net().SendDatagrams(&netstack.Datagrams{Source: src, Destination: dst}); n != 0 || err != nil {
		t.Errorf("nothing to send: %d, %v", n, err)
	}
	mapped := func(p netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16(p.Addr().As16()), p.Port())
	}
	if n, err := d.Net().SendDatagrams(&netstack.Datagrams{Source: mapped(src), Destination: mapped(dst), Payloads: one}); n != 1 || err != nil {
		t.Errorf("4in6: %d, %v", n, err)
	}
	d.Close()
	_, err := d.Net().SendDatagrams(&netstack.Datagrams{Source: src, Destination: dst, Payloads: one})
	wantOpError(t, err, "write", net.ErrClosed)
}

// TestSendDatagramsFragments sends datagrams around the MTU and far above it to
// a port and to a socket of another device, in both families.
func TestSendDatagramsFragments(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	for _, tt := range []struct {
		from, to netip.Addr
		full     int // payload that fills a packet
	}{
		{netstacktest.A4, netstacktest.B4, 1392},
		{netstacktest.A6, netstacktest.B6, 1372},
	} {
		got := make(chan []byte, 100)
		p, err := b.Net().OpenUDPPort(netip.AddrPortFrom(tt.to, 5), func(g *netstack.Datagrams) {
			for _, b := range g.Payloads {
				got <- bytes.Clone(b)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		fragmented := a.Stats().UDP.SentFragmented
		lens := []int{tt.full, tt.full + 1, 4000, 8 * 1024, 65487}
		for _, n := range lens {
			g := &netstack.Datagrams{Source: netip.AddrPortFrom(tt.from, 7), Destination: p.LocalAddr(), Payloads: [][]byte{pattern(n)}}
			if k, err := a.Net().SendDatagrams(g); k != 1 || err != nil {
				t.Fatal(k, err)
			}
			if b := <-got; !bytes.Equal(b, pattern(n)) {
				t.Fatalf("%d bytes, want %d", len(b), n)
			}
		}
		if n := a.Stats().UDP.SentFragmented - fragmented; n != uint64(len(lens)-1) {
			t.Errorf("%d fragmented, want all but the first of %d", n, len(lens))
		}
		p.Close()
	}
	if a.RawOut() != 0 {
		t.Errorf("%d buffers not given back", a.RawOut())
	}
}

// TestFragmentsOfBadChecksum checks that a datagram for a port that came in
// fragments is verified.
func TestFragmentsOfBadChecksum(t *testing.T) {
	a := newDevice(t, &netstack.Options{Queues: 1})
	b := newDevice(t, &netstack.Options{Addresses: []netip.Addr{farV4, farV6}})
	got := make(chan int, 10)
	if _, err := b.Net().OpenUDPPort(netip.AddrPortFrom(netip.Addr{}, 2000), func(g *netstack.Datagrams) { got <- len(g.Payloads[0]) }); err != nil {
		t.Fatal(err)
	}
	for i, v6 := range []bool{false, true} {
		for _, spoil := range []byte{1, 0} {
			src, dst := flow(v6)
			if _, err := a.Net().SendDatagrams(&netstack.Datagrams{Source: src, Destination: dst, Payloads: [][]byte{pattern(4000)}}); err != nil {
				t.Fatal(err)
			}
			slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, netstack.BatchSize)
			n, err := a.Read(slab, pkts)
			if n != 3 || err != nil {
				t.Fatalf("%d packets: %v", n, err)
			}
			var bufs [][]byte
			for _, p := range pkts[:n] {
				bufs = append(bufs, slab[p.Offset:p.Offset+p.Size])
			}
			bufs[2][len(bufs[2])-1] += spoil
			bufs[0], bufs[2] = bufs[2], bufs[0] // order does not matter
			b.Write(bufs, 0)
		}
		if n := <-got; n != 4000 || len(got) != 0 {
			t.Errorf("v6 %v: %d bytes, %d more", v6, n, len(got))
		}
		if n := b.Stats().UDP.DropsMalformed; n != uint64(i+1) {
			t.Errorf("%d drops counted, want %d", n, i+1)
		}
	}
}

// TestFragmentsKeepOrder checks that a datagram in fragments is not overtaken by
// later ones of its flow in the same batch.
func TestFragmentsKeepOrder(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		a := newDevice(t, &netstack.Options{Queues: 1})
		b := newDevice(t, &netstack.Options{Addresses: []netip.Addr{farV4, farV6}})
		var got [][]byte
		if _, err := b.Net().OpenUDPPort(netip.AddrPortFrom(netip.Addr{}, 2000), func(g *netstack.Datagrams) {
			for _, p := range g.Payloads {
				got = append(got, bytes.Clone(p))
			}
		}); err != nil {
			t.Fatal(err)
		}
		src, dst := flow(v6)
		want := [][]byte{pattern(1), pattern(3000), pattern(2), pattern(2), pattern(4000), pattern(3)}
		if _, err := a.Net().SendDatagrams(&netstack.Datagrams{Source: src, Destination: dst, Payloads: want}); err != nil {
			t.Fatal(err)
		}
		slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, netstack.BatchSize)
		n, err := a.Read(slab, pkts)
		if n != 10 || err != nil {
			t.Fatalf("%d packets: %v", n, err)
		}
		var bufs [][]byte
		for _, p := range pkts[:n] {
			bufs = append(bufs, slab[p.Offset:p.Offset+p.Size])
		}
		b.Write(bufs, 0)
		equal(t, got, want)
		size := 0
		for _, p := range bufs {
			size += len(p)
		}
		if s := b.Stats().Inbound; s.Packets != 10 || s.Bytes != uint64(size) {
			t.Errorf("stats %+v, want %d bytes", s, size)
		}
	}
}

// TestSetMTUDatagrams lowers the MTU with a superpacket in the ring: its
// datagrams stay whole, those sent afterwards keep to it.
func TestSetMTUDatagrams(t *testing.T) {
	d := newDevice(t, &netstack.Options{Queues: 1})
	src, dst := flow(false)
	send := func(size int) {
		t.Helper()
		if _, err := d.Net().SendDatagrams(&netstack.Datagrams{Source: src, Destination: dst, Payloads: sizes(4, size, size)}); err != nil {
			t.Fatal(err)
		}
	}
	send(1392)
	if err := d.SetMTU(1280); err != nil {
		t.Fatal(err)
	}
	got, _ := readUDP(t, d, 4, netstack.SlabSize, netstack.BatchSize, src, dst)
	equal(t, got, sizes(4, 1392, 1392))
	send(1253)
	slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, netstack.BatchSize)
	n, err := d.Read(slab, pkts)
	if n != 8 || err != nil || d.Stats().UDP.SentFragmented != 4 {
		t.Errorf("%d packets for 4 datagrams: %v", n, err)
	}
	for _, p := range pkts[:n] {
		if p.Size > 1280 {
			t.Errorf("packet of %d bytes", p.Size)
		}
	}
	send(1252)
	got, _ = readUDP(t, d, 4, netstack.SlabSize, netstack.BatchSize, src, dst)
	equal(t, got, sizes(4, 1252, 1252))
}

// TestDatagramsKeepTheirQueue checks that what is sent between two addresses
// takes one queue, whoever sends it and in however many pieces.
func TestDatagramsKeepTheirQueue(t *testing.T) {
	d := newDevice(t, &netstack.Options{Queues: 4})
	pc := listenUDP(t, d.Net(), "udp", ":0")
	depths := func() (out [4]int) {
		for i, q := range d.Stats().Queues {
			out[i] = q.Depth
		}
		return out
	}
	used := make(map[int]bool)
	for i := range 32 {
		for _, a := range [][2]netip.Addr{
			{hostV4, netip.AddrFrom4([4]byte{10, 3, 0, byte(i)})},
			{hostV6, netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)})},
		} {
			before := depths()
			src, dst := netip.AddrPortFrom(a[0], 9), netip.AddrPortFrom(a[1], uint16(i+1))
			if _, err := d.Net().SendDatagrams(&netstack.Datagrams{Source: src, Destination: dst, Payloads: [][]byte{{1}, {1, 2}, pattern(3000)}}); err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{10, 3000} {
				if _, err := pc.WriteTo(pattern(n), net.UDPAddrFromAddrPort(dst)); err != nil {
					t.Fatal(err)
				}
			}
			after, grown := depths(), 0
			for q := range after {
				if after[q] != before[q] {
					grown++
					used[q] = true
				}
			}
			if grown != 1 {
				t.Errorf("%v to %v: queues %v, before %v", src, dst, after, before)
			}
		}
	}
	if len(used) != 4 {
		t.Errorf("%d of 4 queues used", len(used))
	}
}

// TestSendDatagramsWaits fills a ring that nobody reads and closes the device:
// senders end, no buffer is left.
func TestSendDatagramsWaits(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, &netstack.Options{Queues: 1})
	src, dst := flow(false)
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() {
			g := &netstack.Datagrams{Source: src, Destination: dst, Payloads: sizes(8, 1000, 1000)}
			if i == 0 {
				g.Payloads = [][]byte{pattern(5000)}
			}
			for {
				if n, err := d.Net().SendDatagrams(g); err != nil {
					wantOpError(t, err, "write", net.ErrClosed)
					return
				} else if n != len(g.Payloads) {
					t.Errorf("sent %d", n)
				}
			}
		})
	}
	for d.Stats().Queues[0].Waits < 4 {
		runtime.Gosched()
	}
	if q := d.Stats().Queues[0]; q.DropsFull != 0 || q.DepthBytes < netstack.RingBytes/2 {
		t.Errorf("stats %+v", q)
	}
	slab, pkts := make([]byte, 5000), make([]tun.ReadPacket, 3)
	if _, err := d.Read(slab, pkts); err != nil { // leaves a part of a superpacket, perhaps
		t.Fatal(err)
	}
	d.Close()
	senders.Wait()
	if d.RawOut() != 0 {
		t.Errorf("%d buffers not given back", d.RawOut())
	}
}

// TestSendDatagramsNoAllocs covers SendDatagrams with Read, of superpackets, of
// single datagrams and of fragments.
func TestSendDatagramsNoAllocs(t *testing.T) {
	d := newDevice(t, &netstack.Options{Queues: 1})
	slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, netstack.BatchSize)
	for _, v6 := range []bool{false, true} {
		src, dst := flow(v6)
		for name, payloads := range map[string][][]byte{
			"superpacket": sizes(40, 1200, 1200), "single": sizes(1, 0, 1200), "fragments": sizes(1, 0, 3000),
		} {
			g := &netstack.Datagrams{Source: src, Destination: dst, Payloads: payloads}
			if n := testing.AllocsPerRun(200, func() {
				if _, err := d.Net().SendDatagrams(g); err != nil {
					t.Fatal(err)
				}
				if _, err := d.Read(slab, pkts); err != nil {
					t.Fatal(err)
				}
			}); n != 0 && !raceEnabled {
				t.Errorf("%s, v6 %v: %v allocations", name, v6, n)
			}
		}
	}
}

func TestSourceFor(t *testing.T) {
	d := newDevice(t, nil)
	for _, tt := range []struct{ to, want netip.Addr }{
		{farV4, hostV4}, {farV6, hostV6}, {hostV4, hostV4}, {hostV6, hostV6},
		{netip.AddrFrom16(farV4.As16()), hostV4}, {netip.MustParseAddr("8.8.8.8"), hostV4},
	} {
		if got, err := d.Net().SourceFor(tt.to); got != tt.want || err != nil {
			t.Errorf("%v: %v, %v", tt.to, got, err)
		}
	}
	if _, err := d.Net().SourceFor(netip.Addr{}); err == nil {
		t.Error("a source for no address")
	}
	if err := d.SetAddresses([]netip.Addr{hostV4}); err != nil {
		t.Fatal(err)
	}
	_, err := d.Net().SourceFor(farV6)
	wantOpError(t, err, "route", syscall.ENETUNREACH)
	d.Close()
	_, err = d.Net().SourceFor(farV4)
	wantOpError(t, err, "route", net.ErrClosed)
}
