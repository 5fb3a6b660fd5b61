// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tunrouter/tunrouter/batching"
)

func TestSegmentSize(t *testing.T) {
	for _, tc := range []struct {
		n, gro, want, packets int
		ok                    bool
	}{
		{5, 0, 5, 1, true},
		{5, 5, 5, 1, true},
		{5, 2, 2, 3, true}, // 2, 2, 1
		{6, 2, 2, 3, true},
		{1, 1, 1, 1, true},
		{65507, 1, 1, 65507, true},
		{5, 6, 5, 1, true}, // larger than the message
		{5, 1 << 30, 5, 1, true},
		{5, -1, 0, 0, false},
		{5, -1 << 31, 0, 0, false},
	} {
		got, ok := batching.SegmentSize(tc.n, tc.gro)
		if got != tc.want || ok != tc.ok {
			t.Errorf("SegmentSize(%d, %d): got %d, %v, want %d, %v", tc.n, tc.gro, got, ok, tc.want, tc.ok)
		}
		if ok && batching.Segments(tc.n, got) != tc.packets {
			t.Errorf("Segments(%d, %d): got %d, want %d", tc.n, got, batching.Segments(tc.n, got), tc.packets)
		}
	}
}

// A wire is one received message of a test.
type wire struct {
	data []byte
	size int // of its packets
}

// numbered returns a message whose packets are all different.
func numbered(id, n, size int) wire {
	data := make([]byte, n)
	rnd := rand.NewPCG(uint64(id), 1)
	for i := range data {
		data[i] = byte(rnd.Uint64())
	}
	return wire{data, size}
}

// packets returns the packets of messages, in order.
func packets(msgs []wire) (out [][]byte) {
	for _, m := range msgs {
		for b := m.data; len(b) > 0; {
			n := min(m.size, len(b))
			out = append(out, b[:n])
			b = b[n:]
		}
	}
	return out
}

// deliverAll fills q with msgs received into slots of slab, and collects what it
// delivers, with a different slab for each call: nothing may be left in the one
// before.
func deliverAll(t *testing.T, q *batching.Backlog, msgs []wire, slot, slabLen, descriptors int) (got [][]byte, calls []int) {
	t.Helper()
	slab := make([]byte, slabLen)
	q.Reset()
	remote := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10}), uint16(i))
	}
	for i, m := range msgs {
		q.Add(slab, i, slot, m.data, m.size, remote(i))
	}
	pkts := make([]batching.Packet, descriptors)
	last, idle := -1, 0
	for !q.Empty() {
		n := q.Deliver(slab, pkts)
		calls = append(calls, n)
		if n == 0 {
			if idle++; idle > 1 {
				t.Fatalf("no progress")
			}
		} else {
			idle = 0
		}
		used := make([]bool, len(slab))
		for _, p := range pkts[:n] {
			if p.Offset < 0 || p.Size < 1 || p.Offset+p.Size > len(slab) {
				t.Fatalf("packet at %d of %d bytes is outside of the slab of %d", p.Offset, p.Size, len(slab))
			}
			for i := range p.Size {
				if used[p.Offset+i] {
					t.Fatalf("packet at %d of %d bytes overlaps another", p.Offset, p.Size)
				}
				used[p.Offset+i] = true
			}
			if int(p.Remote.Port()) < last {
				t.Fatalf("message %d after %d", p.Remote.Port(), last)
			}
			last = int(p.Remote.Port())
			got = append(got, bytes.Clone(slab[p.Offset:p.Offset+p.Size]))
		}
		// The next call has another slab, and the caller did what it liked with
		// this one.
		for i := range slab {
			slab[i] = 0xEE
		}
		slab = make([]byte, slabLen)
	}
	return got, calls
}

func TestDeliver(t *testing.T) {
	const small, medium, large = batching.SmallSlot, batching.MediumSlot, batching.LargeSlot
	for _, tc := range []struct {
		name        string
		slot        int
		slab        int // 0: wireguardSlab
		descriptors int // 0: 128
		msgs        []wire
		calls       []int
		copied      int
		tooLong     int // packets missing at the end
	}{
		{name: "one packet", slot: small, msgs: []wire{numbered(0, 100, 100)}, calls: []int{1}},
		{name: "split", slot: large, msgs: []wire{numbered(0, 5, 2)}, calls: []int{3}},
		{name: "split, not split", slot: large, msgs: []wire{numbered(0, 6, 2), numbered(1, 5, 5)}, calls: []int{4}},
		{name: "not split, split", slot: large, msgs: []wire{numbered(0, 5, 5), numbered(1, 6, 2)}, calls: []int{4}},
		{name: "split twice", slot: large, msgs: []wire{numbered(0, 6, 2), numbered(1, 5, 2)}, calls: []int{6}},
		{name: "not split twice", slot: large, msgs: []wire{numbered(0, 6, 6), numbered(1, 5, 5)}, calls: []int{2}},
		{name: "slots exactly full", slot: small, msgs: []wire{numbered(0, small, small), numbered(1, small, small)}, calls: []int{2}},

		// Bulk: two messages of 45 packets, in place.
		{name: "bulk in place", slot: large, msgs: []wire{numbered(0, 65340, 1452), numbered(1, 65340, 1452)}, calls: []int{90}},
		// More packets than descriptors: the rest leaves the slab.
		{name: "descriptors full", slot: large, msgs: []wire{numbered(0, 12800, 100), numbered(1, 300, 100)},
			calls: []int{128, 3}, copied: 3},
		{name: "descriptors full within a message", slot: large, descriptors: 10, msgs: []wire{numbered(0, 1500, 100), numbered(1, 300, 100)},
			calls: []int{10, 8}, copied: 8},
		{name: "one descriptor", slot: large, descriptors: 1, msgs: []wire{numbered(0, 5, 2)}, calls: []int{1, 1, 1}, copied: 2},

		// A message larger than its slot is made whole in the ring and copied
		// to free parts of the slab.
		{name: "larger than the slot", slot: small, msgs: []wire{numbered(0, small+1, small+1)}, calls: []int{1}, copied: 1},
		{name: "larger than the slot, between others", slot: small,
			msgs: []wire{numbered(0, 200, 200), numbered(1, 14520, 1452), numbered(2, 200, 200)}, calls: []int{12}, copied: 10},
		{name: "largest datagram alone", slot: small, msgs: []wire{numbered(0, batching.MaxPayload4, batching.MaxPayload4)},
			calls: []int{1}, copied: 1},
		{name: "no room between the others", slot: small, slab: 3 * small, msgs: []wire{
			numbered(0, 2*small, 2*small), numbered(1, small, small), numbered(2, small, small)},
			calls: []int{0, 2, 1}, copied: 3},
		{name: "slab full of copies", slot: small, slab: 2 * small, msgs: []wire{numbered(0, 10*1400, 1400)},
			calls: []int{2, 2, 2, 2, 2}, copied: 10},
		{name: "larger than the slab", slot: 100, slab: 100, msgs: []wire{numbered(0, 101, 101)},
			calls: []int{0}, tooLong: 1},
		{name: "larger than the slab, before another", slot: 100, slab: 200, msgs: []wire{numbered(0, 250, 250), numbered(1, 100, 100)},
			calls: []int{1}, tooLong: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.slab == 0 {
				tc.slab = wireguardSlab
			}
			if tc.descriptors == 0 {
				tc.descriptors = 128
			}
			q := batching.NewBacklog()
			msgs := tc.msgs
			got, calls := deliverAll(t, q, msgs, tc.slot, tc.slab, tc.descriptors)
			want := packets(msgs)
			if tc.tooLong > 0 {
				want = want[tc.tooLong:]
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(bytes.Equal)); diff != "" {
				t.Errorf("packets differ (-want +got), %d and %d", len(want), len(got))
			}
			if diff := cmp.Diff(tc.calls, calls); diff != "" {
				t.Errorf("packets per call (-want +got):\n%s", diff)
			}
			if copied, tooLong := q.Counts(); copied != uint64(tc.copied) || tooLong != uint64(tc.tooLong) {
				t.Errorf("copied %d, too long %d, want %d and %d", copied, tooLong, tc.copied, tc.tooLong)
			}
		})
	}
}

// FuzzDeliver: whatever was received arrives once, whole, in order and within the
// slab, however little room there is.
func FuzzDeliver(f *testing.F) {
	f.Add(uint64(1), uint(0), uint(wireguardSlab), uint(128))
	f.Add(uint64(2), uint(1), uint(wireguardSlab), uint(128))
	f.Add(uint64(3), uint(2), uint(wireguardSlab), uint(128))
	f.Add(uint64(4), uint(1), uint(5000), uint(7))
	f.Add(uint64(5), uint(3), uint(100), uint(1))
	q := batching.NewBacklog()
	f.Fuzz(func(t *testing.T, seed uint64, layout, slabLen, descriptors uint) {
		rnd := rand.New(rand.NewPCG(seed, seed))
		size := min(int(slabLen%200_000)+1, 140_000)
		slot := min([]int{batching.SmallSlot, batching.MediumSlot, batching.LargeSlot, 100}[layout%4], size)
		var msgs []wire
		for i := range 1 + rnd.IntN(min(size/slot, batching.MaxSlots)) {
			most := []int{10, 200, 3000, 20_000, batching.MaxMessage}[rnd.IntN(5)]
			n := 1 + rnd.IntN(most)
			gro := rnd.IntN(3 * n)
			if n > 3000 {
				gro = 50 + rnd.IntN(n)
			}
			s, ok := batching.SegmentSize(n, gro)
			if !ok {
				t.Fatalf("segment size %d of %d refused", gro, n)
			}
			msgs = append(msgs, numbered(i, n, s))
		}
		_, before := q.Counts()
		got, _ := deliverAll(t, q, msgs, slot, size, int(descriptors%200)+1)
		_, after := q.Counts()
		var want [][]byte
		missing := uint64(0)
		for _, p := range packets(msgs) {
			if len(p) > size {
				missing++
				continue
			}
			want = append(want, p)
		}
		if after-before != missing {
			t.Errorf("too long: got %d, want %d", after-before, missing)
		}
		if len(got) != len(want) {
			t.Fatalf("got %d packets, want %d", len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("packet %d of %d differs", i, len(want))
			}
		}
	})
}

func TestDeliverNoAllocs(t *testing.T) {
	q := batching.NewBacklog()
	slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, 128)
	a, b := numbered(0, 1000, 100), numbered(1, 14520, 1452)
	if n := testing.AllocsPerRun(100, func() {
		q.Reset()
		q.Add(slab, 0, batching.SmallSlot, a.data, a.size, netip.AddrPort{})
		q.Add(slab, 1, batching.SmallSlot, b.data, b.size, netip.AddrPort{})
		if got := q.Deliver(slab, pkts); got != 20 {
			t.Errorf("got %d packets, want 20", got)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
