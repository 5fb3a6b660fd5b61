// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
)

var (
	hostV4, farV4 = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.9")
	hostV6, farV6 = netip.MustParseAddr("fd01::1"), netip.MustParseAddr("fd01::9")
)

func newDevice(tb testing.TB, o *netstack.Options) *netstack.Device {
	tb.Helper()
	if o == nil {
		o = &netstack.Options{}
	}
	c := *o
	if c.Addresses == nil {
		c.Addresses = []netip.Addr{hostV4, hostV6}
	}
	d, err := netstack.New(&c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close() })
	return d
}

// pattern returns n bytes that are different at every place of a stream.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := 0; i+4 <= n; i += 4 {
		binary.BigEndian.PutUint32(b[i:], uint32(i)*2654435761)
	}
	return b
}

// superpacket is a TCP packet from the host with the payload given.
func superpacket(v6 bool, seq uint32, payload []byte) []byte {
	t := testutil.TCP{
		Src: netip.AddrPortFrom(hostV4, 1000), Dst: netip.AddrPortFrom(farV4, 2000),
		Seq: seq, Ack: 7, Flags: testutil.ACK | testutil.PSH | testutil.FIN, Payload: payload,
	}
	if v6 {
		t.Src, t.Dst = netip.AddrPortFrom(hostV6, 1000), netip.AddrPortFrom(farV6, 2000)
	}
	return t.Packet()
}

// segment is what a test wants to know of a TCP packet.
type segment struct {
	seq     uint32
	flags   byte
	payload []byte
}

func parseTCP(tb testing.TB, b []byte) segment {
	tb.Helper()
	if !testutil.ChecksumsOK(b) {
		tb.Errorf("packet with wrong lengths or checksums: % x", b[:min(len(b), 60)])
	}
	at := 20
	if b[0]>>4 == 6 {
		at = 40
	}
	return segment{binary.BigEndian.Uint32(b[at+4:]), b[at+13], b[at+int(b[at+12]>>4)*4:]}
}

// readAll reads until want payload bytes of TCP came, at least once, checking
// the layout of every Read, and returns the packets in order.
func readAll(tb testing.TB, q tun.Queue, want, slabLen, slots int) (packets [][]byte) {
	tb.Helper()
	slab := make([]byte, slabLen)
	pkts := make([]tun.ReadPacket, slots)
	for got := 0; got < want || len(packets) == 0; {
		n, err := q.Read(slab, pkts)
		if err != nil {
			tb.Fatalf("after %d of %d bytes: %v", got, want, err)
		}
		end := 0
		for i, p := range pkts[:n] {
			if p.Offset < end+netstack.Spacing || p.Offset+p.Size+netstack.Spacing > slabLen {
				tb.Fatalf("packet %d at %d+%d after %d in a slab of %d", i, p.Offset, p.Size, end, slabLen)
			}
			end = p.Offset + p.Size
			b := bytes.Clone(slab[p.Offset:end])
			got += len(parseTCP(tb, b).payload)
			packets = append(packets, b)
		}
	}
	return packets
}

// TestReadSplits sends superpackets of many shapes and checks that the packets
// are the superpacket, in order, whole and well-formed, for the usual slab and
// for ones in which a superpacket does not fit.
func TestReadSplits(t *testing.T) {
	for _, tt := range []struct {
		name            string
		v6              bool
		size, mss       int
		slabLen, slots  int
		mtu, wantMax    int // 0: 1420; longest packet
		wantCount, wide int
	}{
		{name: "one packet", size: 100, mss: 1340, wantCount: 1},
		{name: "only a header", size: 0, mss: 1340, wantCount: 1},
		{name: "exactly one", size: 1340, mss: 1340, wantCount: 1},
		{name: "one and a byte", size: 1341, mss: 1340, wantCount: 2},
		{name: "many", size: 58960, mss: 1340, wantCount: 44},
		{name: "many v6", v6: true, size: 58960, mss: 1320, wantCount: 45},
		{name: "more than the slots", size: 60000, mss: 100, wantCount: 600},
		{name: "more than the slots v6", v6: true, size: 60001, mss: 100, wantCount: 601},
		{name: "one byte each", size: 300, mss: 1, wantCount: 300},
		{name: "slab of three", size: 10000, mss: 1000, slabLen: 3*(1040+64) + 64, wantCount: 10},
		{name: "slab of one", size: 5000, mss: 1000, slabLen: 1040 + 128, wantCount: 5},
		{name: "one slot", size: 5000, mss: 1000, slots: 1, wantCount: 5},
		{name: "smaller mtu than the connection's", size: 10000, mss: 1340, mtu: 576, wantMax: 576, wantCount: 19},
		{name: "jumbo", size: 60000, mss: 60000, mtu: 65535, wantCount: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.slabLen == 0 {
				tt.slabLen = netstack.SlabSize
			}
			if tt.slots == 0 {
				tt.slots = netstack.BatchSize
			}
			o := &netstack.Options{MTU: tt.mtu, Queues: 1}
			if tt.mtu != 0 && tt.mtu < 1280 {
				o.Addresses = []netip.Addr{hostV4}
			}
			d := newDevice(t, o)
			const seq = 0xfffffff0 // wraps
			payload := pattern(tt.size)
			pkt := netstack.Outgoing(superpacket(tt.v6, seq, payload), tt.mss, 1)
			defer pkt.DecRef()
			if !d.Send(pkt) {
				t.Fatal("not sent")
			}
			packets := readAll(t, d, tt.size, tt.slabLen, tt.slots)
			if len(packets) != tt.wantCount {
				t.Errorf("%d packets, want %d", len(packets), tt.wantCount)
			}
			var got []byte
			for i, p := range packets {
				s := parseTCP(t, p)
				if s.seq != seq+uint32(len(got)) {
					t.Fatalf("packet %d: seq %d, want %d", i, s.seq, seq+uint32(len(got)))
				}
				want := byte(testutil.ACK)
				if i == len(packets)-1 {
					want |= testutil.PSH | testutil.FIN
				}
				if s.flags != want {
					t.Errorf("packet %d of %d: flags %#x, want %#x", i, len(packets), s.flags, want)
				}
				if tt.wantMax != 0 && len(p) > tt.wantMax {
					t.Errorf("packet %d has %d bytes, want at most %d", i, len(p), tt.wantMax)
				}
				got = append(got, s.payload...)
			}
			if !bytes.Equal(got, payload) {
				t.Error("the payload is not the one that was sent")
			}
			if st := d.Stats().Queues[0]; st.Packets != uint64(tt.wantCount) || st.Depth != 0 || st.DropsSlab != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// TestReadTakesSeveral checks that one Read takes all that fits and no more,
// and that nothing is lost between Reads.
func TestReadTakesSeveral(t *testing.T) {
	d := newDevice(t, &netstack.Options{Queues: 1})
	const supers = 6
	size := int(netstack.GSOMaxSize(1420)) - 161
	payload := pattern(size)
	for i := range supers {
		pkt := netstack.Outgoing(superpacket(false, uint32(i*size), payload), 1340, 1)
		if !d.Send(pkt) {
			t.Fatal("not sent")
		}
		pkt.DecRef()
	}
	packets := readAll(t, d, supers*size, netstack.SlabSize, netstack.BatchSize)
	var got []byte
	for _, p := range packets {
		got = append(got, parseTCP(t, p).payload...)
	}
	if !bytes.Equal(got, bytes.Repeat(payload, supers)) {
		t.Error("the payload is not the one that was sent")
	}
	st := d.Stats().Queues[0]
	if st.Reads != supers/2 {
		t.Errorf("%d reads for %d superpackets, want two a read", st.Reads, supers)
	}
	want := netstack.Histogram{6: supers / 2} // 88 packets: 64 to 127
	if diff := cmp.Diff(want, st.Batches); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

// TestGSOMaxSize checks, for all MTUs, that two superpackets of the size the
// stack makes fit one Read, over both families, unless one packet fills a slab.
func TestGSOMaxSize(t *testing.T) {
	for mtu := 576; mtu <= 65535; mtu++ {
		limit := int(netstack.GSOMaxSize(mtu)) - 161
		if limit > 65535-161 {
			t.Fatalf("mtu %d: superpackets of %d bytes", mtu, limit)
		}
		for _, ip := range []int{20, 40} {
			mss := mtu - ip - 60 // what the stack leaves for the payload
			const hdr = 20 + 12  // and what it usually needs
			segs := (limit + mss - 1) / mss
			slots, bytes := 2*segs, 2*(segs*(ip+hdr+netstack.Spacing)+limit)+netstack.Spacing
			if segs > 1 && ip == 20 && (slots > netstack.BatchSize || bytes > netstack.SlabSize) {
				t.Fatalf("mtu %d: two superpackets of %d need %d slots, %d bytes", mtu, limit, slots, bytes)
			}
		}
	}
	if got, want := netstack.GSOMaxSize(1420), uint32(59121); got != want {
		t.Errorf("mtu 1420: %d, want %d", got, want)
	}
}

// TestReadBadArguments checks what a caller gets that cannot be served, and
// that the device works afterwards.
func TestReadBadArguments(t *testing.T) {
	d := newDevice(t, &netstack.Options{Queues: 1})
	if _, err := d.Read(make([]byte, 2*netstack.Spacing-1), make([]tun.ReadPacket, 1)); !errors.Is(err, tun.ErrTooManySegments) {
		t.Errorf("short slab: %v", err)
	}
	if _, err := d.Read(make([]byte, 9000), nil); !errors.Is(err, tun.ErrTooManySegments) {
		t.Errorf("no slots: %v", err)
	}
	for _, mss := range []int{0, 1340} { // a whole packet; a superpacket
		pkt := netstack.Outgoing(superpacket(false, 1, pattern(1000)), mss, 1)
		d.Send(pkt)
		pkt.DecRef()
		n, err := d.Read(make([]byte, 500), make([]tun.ReadPacket, 4))
		if n != 0 || !errors.Is(err, tun.ErrTooManySegments) {
			t.Errorf("packet longer than the slab: %d, %v", n, err)
		}
	}
	if got := d.Stats().Queues[0].DropsSlab; got != 2 {
		t.Errorf("%d drops counted, want 2", got)
	}
	pkt := netstack.Outgoing(superpacket(false, 1, pattern(1000)), 1340, 1)
	d.Send(pkt)
	pkt.DecRef()
	readAll(t, d, 1000, netstack.SlabSize, netstack.BatchSize)
}

// TestFlowsKeepTheirQueue checks that packets of one flow use one queue, TCP by
// the stack's hash, the rest by address, and that flows spread.
func TestFlowsKeepTheirQueue(t *testing.T) {
	d := newDevice(t, &netstack.Options{Queues: 4})
	used := make(map[int]bool)
	for i := range 64 {
		dst := netip.AddrFrom4([4]byte{10, 2, 0, byte(i)})
		var first int
		for j, port := range []uint16{1, 2, 3} { // UDP ports must not matter
			pkt := netstack.Outgoing(testutil.UDP(netip.AddrPortFrom(hostV4, 5), netip.AddrPortFrom(dst, port), []byte{1}), 0, 0)
			q := d.QueueOf(pkt)
			pkt.DecRef()
			if j == 0 {
				first = q
			} else if q != first {
				t.Fatalf("datagrams to %v on queues %d and %d", dst, first, q)
			}
		}
		used[first] = true
	}
	if len(used) != 4 {
		t.Errorf("64 destinations use %d of 4 queues", len(used))
	}
	for hash := range uint32(8) {
		pkt := netstack.Outgoing(superpacket(false, 1, pattern(10)), 1340, hash+1)
		if got, want := d.QueueOf(pkt), int(hash+1)%4; got != want {
			t.Errorf("hash %d on queue %d, want %d", hash+1, got, want)
		}
		pkt.DecRef()
	}
}

// TestReadNoAllocs covers Read of single packets, of superpackets and of parts.
func TestReadNoAllocs(t *testing.T) {
	for _, tt := range []struct {
		name           string
		size, mss, len int
		slots          int
	}{
		{"packet", 1000, 1340, netstack.SlabSize, 1},
		{"superpacket", 58960, 1340, netstack.SlabSize, 44},
		{"part", 1000, 100, netstack.SlabSize, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDevice(t, &netstack.Options{Queues: 1})
			pkt := netstack.Outgoing(superpacket(false, 1, pattern(tt.size)), tt.mss, 1)
			defer pkt.DecRef()
			slab, pkts := make([]byte, tt.len), make([]tun.ReadPacket, tt.slots)
			const runs = 10
			for range runs + 1 { // AllocsPerRun runs once more; a Read takes one, or less
				d.Send(pkt)
			}
			if n := testing.AllocsPerRun(runs, func() {
				if _, err := d.Read(slab, pkts); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%v allocations a Read", n)
			}
		})
	}
}

// TestRing checks the bounds, the waits and the end of a ring.
func TestRing(t *testing.T) {
	testutil.LeakCheck(t)
	small := netstack.Outgoing(superpacket(false, 1, nil), 1340, 1)
	defer small.DecRef()
	big := netstack.Outgoing(superpacket(false, 1, pattern(60000)), 1340, 1)
	defer big.DecRef()

	t.Run("packets", func(t *testing.T) {
		r := netstack.NewRing()
		defer r.Close()
		for i := range netstack.RingPackets {
			if ok, _ := r.Put(small, true); !ok {
				t.Fatalf("no room for packet %d", i)
			}
		}
		for i := range netstack.RingReserve {
			if ok, _ := r.Put(small, false); !ok {
				t.Fatalf("no reserve for packet %d", i)
			}
		}
		if ok, closed := r.Put(small, false); ok || closed {
			t.Errorf("the reserve is not bounded")
		}
	})
	t.Run("bytes", func(t *testing.T) {
		r := netstack.NewRing()
		defer r.Close()
		n := 0
		for _, size, _ := r.Depth(); size < netstack.RingBytes; _, size, _ = r.Depth() {
			r.Put(big, true)
			n++
		}
		done := make(chan bool)
		go func() {
			ok, _ := r.Put(big, true) // must wait
			done <- ok
		}()
		for _, _, waits := r.Depth(); waits == 0; _, _, waits = r.Depth() {
			runtime.Gosched()
		}
		for _, p := range r.Take(n) {
			p.DecRef()
		}
		if !<-done {
			t.Error("the sender that waited failed")
		}
		if packets, _, _ := r.Depth(); packets != 1 {
			t.Errorf("%d packets, want the one that waited", packets)
		}
	})
	t.Run("close", func(t *testing.T) {
		r := netstack.NewRing()
		var wg sync.WaitGroup
		for range 2 * netstack.RingPackets / 64 {
			wg.Go(func() {
				for range 64 {
					r.Put(small, true)
				}
			})
		}
		for _, _, waits := r.Depth(); waits == 0; _, _, waits = r.Depth() {
			runtime.Gosched()
		}
		r.Close()
		wg.Wait()
		if got := r.Take(1); got != nil {
			t.Error("a closed ring has packets")
		}
		if _, closed := r.Put(small, true); !closed {
			t.Error("a closed ring takes packets")
		}
		r.Close()
	})
}

// TestBackPressure checks that senders wait for a reader that is slow, that all
// they sent arrives in the order of their flow, and that nothing is dropped.
func TestBackPressure(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, &netstack.Options{Queues: 2})
	const flows, each = 4, 1500
	var senders sync.WaitGroup
	for f := range flows {
		senders.Go(func() {
			for i := range each {
				pkt := netstack.Outgoing(testTCP(uint16(f), uint32(i)), 1340, uint32(f+1))
				if !d.Send(pkt) {
					t.Error("not sent")
				}
				pkt.DecRef()
			}
		})
	}
	for d.Stats().Queues[0].Waits == 0 || d.Stats().Queues[1].Waits == 0 {
		runtime.Gosched()
	}
	var readers sync.WaitGroup
	for _, q := range d.Queues() {
		readers.Go(func() {
			next := map[uint16]uint32{}
			slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, 16)
			for got := 0; got < flows/2*each; {
				n, err := q.Read(slab, pkts)
				if err != nil {
					t.Error(err)
					return
				}
				for _, p := range pkts[:n] {
					b := slab[p.Offset : p.Offset+p.Size]
					port, seq := binary.BigEndian.Uint16(b[20:]), parseTCP(t, b).seq
					if seq != next[port] {
						t.Errorf("flow %d: packet %d, want %d", port, seq, next[port])
						return
					}
					next[port]++
				}
				got += n
			}
		})
	}
	senders.Wait()
	readers.Wait()
	for i, q := range d.Stats().Queues {
		if q.DropsFull+q.DropsSlab+q.DropsClosed != 0 || q.Packets != flows/2*each {
			t.Errorf("queue %d: %+v", i, q)
		}
	}
}

func testTCP(port uint16, seq uint32) []byte {
	t := testutil.TCP{
		Src: netip.AddrPortFrom(hostV4, port), Dst: netip.AddrPortFrom(farV4, 1),
		Seq: seq, Flags: testutil.ACK, Payload: pattern(1000),
	}
	return t.Packet()
}

// TestRepliesNeverWait checks that a device nobody reads from goes on taking
// packets that have to be answered, and counts the answers it cannot keep.
func TestRepliesNeverWait(t *testing.T) {
	d := newDevice(t, &netstack.Options{Queues: 1})
	const n = 4 * (netstack.RingPackets + netstack.RingReserve)
	syn := testutil.TCP{Src: netip.AddrPortFrom(farV4, 9), Dst: netip.AddrPortFrom(hostV4, 9), Flags: testutil.SYN}
	requests := [][]byte{
		testutil.Echo(farV4, hostV4, 1, 1, pattern(100)),
		testutil.Echo(farV6, hostV6, 1, 1, pattern(100)),
		syn.Packet(), // refused with a reset
	}
	for range n / len(requests) {
		if k, err := d.Write(requests, 0); k != len(requests) || err != nil {
			t.Fatalf("wrote %d: %v", k, err)
		}
	}
	q := d.Stats().Queues[0]
	if q.Depth != netstack.RingPackets+netstack.RingReserve || q.DropsFull == 0 || q.Waits != 0 {
		t.Errorf("stats %+v", q)
	}
}

// TestReadClosed checks that Close ends Reads that wait and Reads that come.
func TestReadClosed(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, &netstack.Options{Queues: 3})
	errs := make(chan error)
	for _, q := range d.Queues() {
		for range 2 { // two readers of one queue take turns
			go func() {
				_, err := q.Read(make([]byte, netstack.SlabSize), make([]tun.ReadPacket, netstack.BatchSize))
				errs <- err
			}()
		}
	}
	d.Close()
	for range 6 {
		if err := <-errs; !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	}
	if n, err := d.Read(make([]byte, netstack.SlabSize), make([]tun.ReadPacket, 1)); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("read %d: %v", n, err)
	}
	pkt := netstack.Outgoing(superpacket(false, 1, nil), 0, 1)
	defer pkt.DecRef()
	if d.Send(pkt) || d.Stats().Queues[1].DropsClosed != 1 {
		t.Errorf("sent after close: %+v", d.Stats().Queues)
	}
}

// BenchmarkRead reads superpackets and single packets: the cost of the copy, the
// split and the checksums.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 1340, 58960} {
		b.Run(fmt.Sprintf("payload-%d", size), func(b *testing.B) {
			d := newDevice(b, &netstack.Options{Queues: 1})
			pkt := netstack.Outgoing(superpacket(false, 1, pattern(size)), 1340, 1)
			defer pkt.DecRef()
			slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, netstack.BatchSize)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				d.Send(pkt)
				if _, err := d.Read(slab, pkts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
