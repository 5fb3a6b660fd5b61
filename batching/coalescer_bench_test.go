// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// BenchmarkQueue is what it costs a packet to pass through the coalescer, without
// the sending. 200B and 1400B are one flow of packets one by one, 200B-x64 is one
// packet to each of 64 peers in turn, 200B-timers runs of two, so that a timer is
// set and stopped for each two packets. 1400B-batch are calls of 45 packets.
func BenchmarkQueue(b *testing.B) {
	for _, shape := range []struct {
		name                 string
		packets, size, peers int
		segments             int
	}{
		{"200B", 1, 200, 1, 64},
		{"1400B", 1, 1400, 1, 64},
		{"200B-x64", 1, 200, 64, 64},
		{"200B-timers", 1, 200, 1, 2},
		{"1400B-batch", 45, 1400, 1, 64},
	} {
		b.Run(shape.name, func(b *testing.B) {
			flush := func(bufs [][]byte, _ int, _ *batching.Destination, _ geneve.VNI) (int, error) {
				return len(bufs), nil
			}
			q := batching.NewCoalescer(flush, shape.segments, batching.MaxPayload4, time.Hour)
			closing(b, q)
			dsts := make([]*batching.Destination, shape.peers)
			for i := range dsts {
				dsts[i] = destination(i, "")
			}
			bufs, next := makePackets(shape.packets, shape.size), 0
			b.SetBytes(int64(shape.packets * shape.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := q.Queue(bufs, headroom, dsts[next%len(dsts)], 0); err != nil {
					b.Fatal(err)
				}
				next++
			}
		})
	}
}

// Covered: single packets that wait, runs of one call, too little headroom to
// point at the packet, Geneve, the timer, and remotes that take turns in the lanes.
func TestCoalescerNoAllocs(t *testing.T) {
	vni := mustVNI(t, 5)
	flush := func(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
		return len(bufs), nil
	}
	for _, tc := range []struct {
		name    string
		sizes   []int
		offset  int
		vni     geneve.VNI
		remotes int
	}{
		{"single", []int{200}, headroom, 0, 1},
		{"single of many remotes", []int{200}, headroom, vni, 100},
		{"evicted", []int{200}, headroom, 0, batching.MaxLanes + 1},
		{"bulk", slices.Repeat([]int{1400}, 128), headroom, 0, 1},
		{"bulk with geneve", slices.Repeat([]int{1400}, 128), headroom, vni, 1},
		{"no headroom", slices.Repeat([]int{1400}, 128), 0, 0, 1},
		{"mixed", []int{500, 500, 400, 600, 0, 70_000, 3}, headroom, 0, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := batching.NewCoalescer(flush, 64, batching.MaxPayload4, time.Hour)
			closing(t, q)
			dsts := make([]*batching.Destination, tc.remotes)
			for i := range dsts {
				dsts[i] = destination(i, "")
			}
			bufs := sized(tc.offset, tc.sizes...)
			round := func() {
				for _, dst := range dsts {
					if n, err := q.Queue(bufs, tc.offset, dst, tc.vni); n != len(bufs) || err != nil {
						t.Errorf("got %d, %v, want %d", n, err, len(bufs))
					}
				}
			}
			for range 2 {
				round()
			}
			// The race detector makes the pool forget slabs, of two allocations.
			if n := testing.AllocsPerRun(100, round); n > float64(poolAllocs*tc.remotes) {
				t.Errorf("got %v allocations, want at most %d", n, poolAllocs*tc.remotes)
			}
		})
	}
}
