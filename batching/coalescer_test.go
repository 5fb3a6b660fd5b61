// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// A flushed is one call of a recorder's WriteBatch.
type flushed struct {
	dst     *batching.Destination
	vni     geneve.VNI
	packets []string // without headers
}

// A recorder records what it is given, as a Conn would send it, and writes over all
// that a Conn may write over.
type recorder struct {
	mu   sync.Mutex
	sent []flushed
	// fail, if set, returns what a call with those packets returns.
	fail func(s flushed) (n int, err error)
}

func (w *recorder) WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
	if vni.IsSet() && offset < geneve.HeaderLen {
		return 0, batching.ErrHeadroom
	}
	s := flushed{dst: dst, vni: vni}
	for _, buf := range bufs {
		s.packets = append(s.packets, string(buf[offset:]))
	}
	for _, buf := range bufs {
		scribble(buf[:offset])
	}
	for i, buf := range bufs {
		if string(buf[offset:]) != s.packets[i] {
			panic("the headroom of one packet is another packet")
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := len(bufs), error(nil)
	if w.fail != nil {
		n, err = w.fail(s)
	}
	w.sent = append(w.sent, s)
	return n, err
}

// take returns what was sent since the last call.
func (w *recorder) take() []flushed {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sent
	w.sent = nil
	return s
}

// sizes returns the sizes of the packets of each call since the last one.
func (w *recorder) sizes() (out [][]int) {
	for _, s := range w.take() {
		var sizes []int
		for _, p := range s.packets {
			sizes = append(sizes, len(p))
		}
		out = append(out, sizes)
	}
	return out
}

func scribble(b []byte) {
	for i := range b {
		b[i] = 0xEE
	}
}

// A source makes packets that all differ, and writes over them once they were
// taken.
type source struct{ next int }

func (s *source) packets(offset int, sizes ...int) (bufs [][]byte, packets []string) {
	for _, size := range sizes {
		p := strings.Repeat(fmt.Sprintf("%d.", s.next), size)[:size]
		s.next++
		packets = append(packets, p)
		bufs = append(bufs, append(make([]byte, offset), p...))
	}
	return bufs, packets
}

// queue queues one call of packets and fails the test if not all are taken.
func (s *source) queue(tb testing.TB, q *batching.Coalescer, dst *batching.Destination, vni geneve.VNI, sizes ...int) {
	tb.Helper()
	bufs, _ := s.packets(headroom, sizes...)
	if n, err := q.Queue(bufs, headroom, dst, vni); n != len(bufs) || err != nil {
		tb.Errorf("queue: got %d, %v, want %d", n, err, len(bufs))
	}
	for _, buf := range bufs {
		scribble(buf)
	}
}

// reasons returns the flushes that happened.
func reasons(q *batching.Coalescer) map[string]uint64 {
	m := q.Stats().Flushes
	for reason, n := range m {
		if n == 0 {
			delete(m, reason)
		}
	}
	return m
}

func destination(i int, local string) *batching.Destination {
	var addr netip.Addr
	if local != "" {
		addr = netip.MustParseAddr(local)
	}
	return batching.NewDestination(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(1+i)), addr, 0)
}

// closing closes q at the end of the test.
func closing(tb testing.TB, q *batching.Coalescer) {
	tb.Cleanup(func() {
		if err := q.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
}

func TestCoalescerRuns(t *testing.T) {
	const all = batching.MaxPayload4
	repeat := func(size, n int) []int { return slices.Repeat([]int{size}, n) }
	type counts = map[string]uint64
	for _, tc := range []struct {
		name     string
		segments int // 0: MaxSegments
		bytes    int // 0: MaxPayload4
		vni      bool
		sizes    []int
		want     [][]int
		waiting  int
		reasons  counts
	}{
		{name: "one waits", sizes: []int{5}, waiting: 1},
		{name: "equal ones wait", sizes: []int{5, 5, 5}, waiting: 3},
		{name: "smaller ends the run", sizes: []int{5, 5, 4, 5}, want: [][]int{{5, 5, 4}}, waiting: 1, reasons: counts{"size": 1}},
		{name: "larger comes next", sizes: []int{4, 4, 5}, want: [][]int{{4, 4}}, waiting: 1, reasons: counts{"size": 1}},
		{name: "descending", sizes: []int{9, 8, 7, 6, 5}, want: [][]int{{9, 8}, {7, 6}}, waiting: 1, reasons: counts{"size": 2}},
		{name: "empty goes alone", sizes: []int{5, 0, 5}, want: [][]int{{5}, {0}}, waiting: 1, reasons: counts{"size": 2}},
		{name: "empties", sizes: []int{0, 0}, want: [][]int{{0}, {0}}, reasons: counts{"size": 2}},
		{name: "header alone is a packet", vni: true, sizes: []int{0, 0}, waiting: 2},

		{name: "63 segments", sizes: repeat(100, 63), waiting: 63},
		{name: "64 segments", sizes: repeat(100, 64), want: [][]int{repeat(100, 64)}, reasons: counts{"segments": 1}},
		{name: "65 segments", sizes: repeat(100, 65), want: [][]int{repeat(100, 64)}, waiting: 1, reasons: counts{"segments": 1}},
		{name: "64th is smaller", sizes: append(repeat(100, 63), 99), want: [][]int{append(repeat(100, 63), 99)}, reasons: counts{"segments": 1}},
		{name: "64th is larger", sizes: append(repeat(100, 63), 101), want: [][]int{repeat(100, 63)}, waiting: 1, reasons: counts{"size": 1}},
		{name: "limit of 3", segments: 3, sizes: repeat(7, 7), want: [][]int{repeat(7, 3), repeat(7, 3)}, waiting: 1, reasons: counts{"segments": 2}},
		{name: "limit of 1", segments: 1, sizes: repeat(7, 3), want: [][]int{{7}, {7}, {7}}, reasons: counts{"segments": 3}},
		{name: "limit of 0 is 1", segments: -1, sizes: repeat(7, 2), want: [][]int{{7}, {7}}, reasons: counts{"segments": 2}},
		{name: "limit of 65 is 64", segments: 65, sizes: repeat(7, 65), want: [][]int{repeat(7, 64)}, waiting: 1, reasons: counts{"segments": 1}},

		{name: "bytes one short", bytes: 300, sizes: []int{150, 149}, want: [][]int{{150, 149}}, reasons: counts{"size": 1}},
		{name: "bytes not reached", bytes: 301, sizes: repeat(100, 3), waiting: 3},
		{name: "bytes exactly", bytes: 300, sizes: repeat(100, 3), want: [][]int{repeat(100, 3)}, reasons: counts{"bytes": 1}},
		{name: "bytes exactly, smaller last", bytes: 299, sizes: []int{100, 100, 99}, want: [][]int{{100, 100, 99}}, reasons: counts{"bytes": 1}},
		{name: "bytes one over", bytes: 299, sizes: repeat(100, 3), want: [][]int{repeat(100, 2)}, waiting: 1, reasons: counts{"bytes": 1}},
		{name: "one packet exactly", bytes: 300, sizes: []int{300, 300}, want: [][]int{{300}, {300}}, reasons: counts{"bytes": 2}},
		{name: "one packet one over", bytes: 299, sizes: []int{9, 300, 9}, want: [][]int{{9}, {300}}, waiting: 1, reasons: counts{"size": 1, "bytes": 1}},
		{name: "64 KiB", sizes: repeat(1452, 46), want: [][]int{repeat(1452, 45)}, waiting: 1, reasons: counts{"bytes": 1}},
		{name: "one packet of 64 KiB", sizes: []int{all, all + 1}, want: [][]int{{all}, {all + 1}}, reasons: counts{"bytes": 2}},

		{name: "bytes with headers not reached", vni: true, bytes: 325, sizes: repeat(100, 3), waiting: 3},
		{name: "bytes with headers exactly", vni: true, bytes: 324, sizes: repeat(100, 3), want: [][]int{repeat(100, 3)}, reasons: counts{"bytes": 1}},
		{name: "bytes with headers one over", vni: true, bytes: 323, sizes: repeat(100, 3), want: [][]int{repeat(100, 2)}, waiting: 1, reasons: counts{"bytes": 1}},
		{name: "one packet with header exactly", vni: true, bytes: 308, sizes: []int{300}, want: [][]int{{300}}, reasons: counts{"bytes": 1}},
		{name: "one packet with header one over", vni: true, bytes: 307, sizes: []int{300, 9}, want: [][]int{{300}}, waiting: 1, reasons: counts{"bytes": 1}},
		{name: "64 segments with headers", vni: true, sizes: repeat(100, 64), want: [][]int{repeat(100, 64)}, reasons: counts{"segments": 1}},
	} {
		// The runs must not depend on how packets are spread over calls, nor on
		// where they begin.
		for _, perCall := range []int{1, 2, 3, len(tc.sizes)} {
			for _, offset := range []int{0, 7, 8, 20} {
				if tc.vni && offset < headroom {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d a call/offset %d", tc.name, perCall, offset), func(t *testing.T) {
					if tc.segments == 0 {
						tc.segments = batching.MaxSegments
					}
					if tc.bytes == 0 {
						tc.bytes = all
					}
					var vni geneve.VNI
					if tc.vni {
						vni = mustVNI(t, 7)
					}
					var (
						w   recorder
						src source
						q   = batching.NewCoalescer(w.WriteBatch, tc.segments, tc.bytes, time.Hour)
						dst = destination(0, "")
					)
					closing(t, q)
					bufs, want := src.packets(offset, tc.sizes...)
					for call := range slices.Chunk(bufs, perCall) {
						if n, err := q.Queue(call, offset, dst, vni); n != len(call) || err != nil {
							t.Fatalf("queue: got %d, %v, want %d", n, err, len(call))
						}
						for _, buf := range call {
							scribble(buf)
						}
					}
					if n := q.Stats().Waiting; n != tc.waiting {
						t.Errorf("waiting: got %d, want %d", n, tc.waiting)
					}
					if diff := cmp.Diff(tc.reasons, reasons(q)); diff != "" && len(tc.reasons)+len(reasons(q)) > 0 {
						t.Errorf("flushes (-want +got):\n%s", diff)
					}
					if err := q.FlushAll(); err != nil {
						t.Errorf("flush: %v", err)
					}
					calls := w.take()
					var packets []string
					var sizes [][]int
					for _, s := range calls {
						if s.dst != dst || s.vni != vni {
							t.Errorf("sent to %v with VNI %v, want %v with %v", s.dst.Remote(), s.vni, dst.Remote(), vni)
						}
						packets = append(packets, s.packets...)
						var run []int
						for _, p := range s.packets {
							run = append(run, len(p))
						}
						sizes = append(sizes, run)
					}
					if !slices.Equal(packets, want) {
						t.Error("packets differ from what was queued")
					}
					rest := tc.sizes[len(tc.sizes)-tc.waiting:]
					wantSizes := slices.Clone(tc.want)
					if len(rest) > 0 {
						wantSizes = append(wantSizes, rest)
					}
					if diff := cmp.Diff(wantSizes, sizes); diff != "" {
						t.Errorf("runs (-want +got):\n%s", diff)
					}
					stats := q.Stats()
					if stats.Waiting != 0 || stats.Packets != uint64(len(want)) || stats.Lost != 0 {
						t.Errorf("after flush: got %+v, want %d packets, none waiting or lost", stats, len(want))
					}
				})
			}
		}
	}
}

func mustVNI(tb testing.TB, v uint32) geneve.VNI {
	vni, err := geneve.MakeVNI(v)
	if err != nil {
		tb.Fatal(err)
	}
	return vni
}

// Another source or VNI must not overtake, another Destination with the same
// addresses changes nothing, another remote has nothing to do with it.
func TestCoalescerDestinations(t *testing.T) {
	type call struct {
		dst  *batching.Destination
		vni  uint32 // 0: none
		size int
	}
	ll := netip.MustParseAddrPort("[fe80::1]:5")
	a, b := destination(0, ""), destination(1, "")
	for _, tc := range []struct {
		name  string
		calls []call
		want  [][]int // sent without being asked to
		wait  int
	}{
		{"same object", []call{{a, 0, 5}, {a, 0, 5}}, nil, 2},
		{"same addresses", []call{{a, 0, 5}, {destination(0, ""), 0, 5}}, nil, 2},
		{"other remote", []call{{a, 0, 5}, {b, 0, 9}, {a, 0, 5}}, nil, 3},
		{"source set", []call{{a, 0, 5}, {destination(0, "192.0.2.9"), 0, 5}}, [][]int{{5}}, 1},
		{"source changed", []call{{destination(0, "192.0.2.8"), 0, 5}, {destination(0, "192.0.2.9"), 0, 5}}, [][]int{{5}}, 1},
		{"interface changed", []call{
			{batching.NewDestination(ll, netip.Addr{}, 1), 0, 5}, {batching.NewDestination(ll, netip.Addr{}, 2), 0, 5},
		}, [][]int{{5}}, 1},
		{"vni set", []call{{a, 0, 5}, {a, 1, 5}}, [][]int{{5}}, 1},
		{"vni changed", []call{{a, 1, 5}, {a, 2, 5}, {a, 2, 5}, {a, 1, 5}}, [][]int{{5}, {5, 5}}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var (
				w   recorder
				src source
				q   = batching.NewCoalescer(w.WriteBatch, 64, 1000, time.Hour)
			)
			closing(t, q)
			for _, c := range tc.calls {
				var vni geneve.VNI
				if c.vni > 0 {
					vni = mustVNI(t, c.vni)
				}
				src.queue(t, q, c.dst, vni, c.size)
			}
			if diff := cmp.Diff(tc.want, w.sizes()); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			s := q.Stats()
			if got, want := s.Flushes["destination"], uint64(len(tc.want)); got != want || s.Waiting != tc.wait {
				t.Errorf("got %d flushes, %d waiting, want %d, %d", got, s.Waiting, want, tc.wait)
			}
		})
	}
}

func TestCoalescerContract(t *testing.T) {
	var w recorder
	q := batching.NewCoalescer(w.WriteBatch, 64, 1000, time.Hour)
	closing(t, q)
	for _, tc := range []struct {
		name   string
		bufs   [][]byte
		offset int
		vni    geneve.VNI
		want   error
	}{
		{"negative offset", sized(8, 5), -1, 0, batching.ErrOffset},
		{"beyond the last packet", [][]byte{make([]byte, 9), make([]byte, 7)}, 8, 0, batching.ErrOffset},
		{"no headroom", sized(7, 5), 7, mustVNI(t, 1), batching.ErrHeadroom},
		{"no packets", nil, 8, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, err := q.Queue(tc.bufs, tc.offset, destination(0, ""), tc.vni)
			if n != 0 || !errors.Is(err, tc.want) {
				t.Errorf("got %d, %v, want %v", n, err, tc.want)
			}
			if send := (*batching.SendError)(nil); err != nil && (!errors.As(err, &send) || send.Op != "check") {
				t.Errorf("got %#v, want a SendError of the check", err)
			}
		})
	}
	if s := q.Stats(); s.Waiting != 0 || len(w.take()) != 0 {
		t.Errorf("got %+v, want nothing queued or sent", s)
	}
}
