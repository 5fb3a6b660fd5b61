// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// expect waits until nothing moves, and wants batches of these sizes to have been
// sent since the last time. It is for a synctest bubble.
func (w *recorder) expect(t *testing.T, when string, want [][]int) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, w.sizes()); diff != "" {
		t.Errorf("%s: sent (-want +got):\n%s", when, diff)
	}
}

// The timeout counts from the first packet that waits, not from the last.
func TestCoalescerTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Millisecond
		var (
			w    recorder
			src  source
			q    = batching.NewCoalescer(w.WriteBatch, 64, 1000, timeout)
			a, b = destination(0, ""), destination(1, "")
		)
		defer q.Close()
		expect := func(when string, want ...[]int) {
			t.Helper()
			w.expect(t, when, want)
		}
		src.queue(t, q, a, 0, 5)
		time.Sleep(timeout - time.Microsecond)
		src.queue(t, q, a, 0, 5)
		src.queue(t, q, b, 0, 9)
		expect("before the timeout")
		time.Sleep(time.Microsecond)
		expect("at the timeout of the first", []int{5, 5})
		time.Sleep(timeout)
		expect("at the timeout of the second", []int{9})

		// The timer of a run that was sent otherwise does not end the next one.
		src.queue(t, q, a, 0, 7)
		time.Sleep(timeout / 2)
		src.queue(t, q, a, 0, 6)
		src.queue(t, q, a, 0, 8)
		expect("ended by size", []int{7, 6})
		time.Sleep(timeout - time.Microsecond)
		expect("before the timeout of the new run")
		time.Sleep(time.Microsecond)
		expect("at the timeout of the new run", []int{8})
		want := map[string]uint64{"timeout": 3, "size": 1}
		if diff := cmp.Diff(want, reasons(q)); diff != "" {
			t.Errorf("flushes (-want +got):\n%s", diff)
		}
	})
}

// A timer that has fired when its run is sent for another reason leaves the next
// run its time. After close, timers do nothing.
func TestCoalescerLateTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Millisecond
		var (
			w   recorder
			src source
			q   = batching.NewCoalescer(w.WriteBatch, 64, 1000, timeout)
			dst = destination(0, "")
		)
		expect := func(when string, want ...[]int) {
			t.Helper()
			w.expect(t, when, want)
		}
		src.queue(t, q, dst, 0, 20)
		bufs, _ := src.packets(headroom, 19, 5)
		if n, err := q.QueueLate(timeout/2, bufs, headroom, dst); n != 2 || err != nil {
			t.Errorf("queue: got %d, %v, want 2", n, err)
		}
		expect("ended by size", []int{20, 19})
		time.Sleep(timeout - time.Microsecond)
		expect("before the timeout of the new run")
		time.Sleep(time.Microsecond)
		expect("at the timeout of the new run", []int{5})

		src.queue(t, q, dst, 0, 20)
		bufs, _ = src.packets(headroom, 19, 5)
		if n, err := q.QueueLate(timeout/2, bufs, headroom, dst); n != 2 || err != nil {
			t.Errorf("queue: got %d, %v, want 2", n, err)
		}
		start := time.Now()
		if err := q.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if d := time.Since(start); d != timeout/2 {
			t.Errorf("close waited %v for the timer, want %v", d, timeout/2)
		}
		time.Sleep(10 * timeout)
		expect("closed", []int{20, 19}, []int{5})
		want := map[string]uint64{"size": 2, "timeout": 1, "close": 1}
		if diff := cmp.Diff(want, reasons(q)); diff != "" {
			t.Errorf("flushes (-want +got):\n%s", diff)
		}
	})
}

func TestCoalescerClose(t *testing.T) {
	testutil.LeakCheck(t)
	var (
		w   recorder
		src source
		q   = batching.NewCoalescer(w.WriteBatch, 64, 1000, time.Hour)
	)
	src.queue(t, q, destination(0, ""), 0, 5, 5)
	src.queue(t, q, destination(1, ""), 0, 6)
	if err := q.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if diff := cmp.Diff([][]int{{5, 5}, {6}}, w.sizes()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if got := reasons(q); got["close"] != 2 {
		t.Errorf("got flushes %v, want 2 by close", got)
	}
	for i := range 3 { // an address with a lane once, and one without
		bufs, _ := src.packets(headroom, 5)
		if n, err := q.Queue(bufs, headroom, destination(i, ""), 0); n != 0 || err != net.ErrClosed {
			t.Errorf("queue after close: got %d, %v, want %v", n, err, net.ErrClosed)
		}
	}
	if err := q.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	if err := q.FlushAll(); err != nil {
		t.Errorf("flush after close: %v", err)
	}
	if err := q.Set(1, 1, 1); err != net.ErrClosed {
		t.Errorf("set after close: got %v, want %v", err, net.ErrClosed)
	}
	if got := w.sizes(); len(got) != 0 || q.Lanes() != 0 {
		t.Errorf("after close: got %v sent, %d lanes", got, q.Lanes())
	}
}

func TestCoalescerSet(t *testing.T) {
	var (
		w   recorder
		src source
		q   = batching.NewCoalescer(w.WriteBatch, 64, 1000, time.Hour)
		dst = destination(0, "")
	)
	closing(t, q)
	set := func(segments, bytes int, timeout time.Duration) {
		t.Helper()
		if err := q.Set(segments, bytes, timeout); err != nil {
			t.Errorf("set: %v", err)
		}
	}
	expect := func(when string, want ...[]int) {
		t.Helper()
		if diff := cmp.Diff(want, w.sizes()); diff != "" {
			t.Errorf("%s: sent (-want +got):\n%s", when, diff)
		}
	}
	src.queue(t, q, dst, 0, 5, 5, 5)
	set(2, 100, time.Hour)
	expect("fewer segments", []int{5, 5, 5})
	src.queue(t, q, dst, 0, 5, 5, 5)
	expect("with fewer segments", []int{5, 5})
	set(64, 100_000, time.Hour)
	expect("more bytes", []int{5})
	src.queue(t, q, dst, 0, 60_000)
	src.queue(t, q, dst, 0, 40_000)
	expect("with more bytes", []int{60_000, 40_000})

	src.queue(t, q, dst, 0, 5)
	set(64, 1000, 0)
	expect("off", []int{5})
	before := q.Stats()
	src.queue(t, q, dst, 0, 5, 9, 5)
	expect("while off", []int{5, 9, 5})
	if diff := cmp.Diff(before, q.Stats()); diff != "" {
		t.Errorf("counted while off (-before +after):\n%s", diff)
	}
	set(64, 1000, time.Hour)
	src.queue(t, q, dst, 0, 5)
	expect("on again")
	set(64, 1000, time.Hour)
	expect("no change", []int{5})
	if got := reasons(q)["options"]; got != 4 {
		t.Errorf("flushes by options: got %d, want 4", got)
	}
}

// Off from the start, it is the flush function and nothing else.
func TestCoalescerOff(t *testing.T) {
	var (
		w   recorder
		src source
	)
	w.fail = func(s flushed) (int, error) { return 1, io.ErrUnexpectedEOF }
	q := batching.NewCoalescer(w.WriteBatch, 64, 1000, 0)
	closing(t, q)
	bufs, want := src.packets(3, 5, 9, 5)
	if n, err := q.Queue(bufs, 3, destination(0, ""), 0); n != 1 || err != io.ErrUnexpectedEOF {
		t.Errorf("got %d, %v, want 1, %v", n, err, io.ErrUnexpectedEOF)
	}
	if got := w.take(); len(got) != 1 || !slices.Equal(got[0].packets, want) {
		t.Errorf("got %v, want %v in one call", got, want)
	}
	if s := q.Stats(); s.Packets != 0 || q.Lanes() != 0 {
		t.Errorf("got %+v and %d lanes, want none", s, q.Lanes())
	}
}

// What is queued while options change, or the coalescer closes, or a lane is made
// free, is as if it was queued afterwards. Each flush of a packet to the remote at
// runs then, once.
func TestCoalescerMeanwhile(t *testing.T) {
	const full = batching.MaxLanes
	for _, tc := range []struct {
		name  string
		lanes int
		at    int                               // the remote that is flushed
		cause func(q *batching.Coalescer) error // of the flush
		to    int                               // the remote queued to meanwhile
		taken int                               // 0: it is closed
		wait  int                               // packets that wait afterwards
	}{
		{"off, flushed already", 2, 1, func(q *batching.Coalescer) error { return q.Set(64, 1000, 0) }, 0, 1, 0},
		{"off, not flushed yet", 2, 0, func(q *batching.Coalescer) error { return q.Set(64, 1000, 0) }, 1, 1, 0},
		{"off, no lane", 2, 0, func(q *batching.Coalescer) error { return q.Set(64, 1000, 0) }, 2, 1, 0},
		{"set, flushed already", 2, 1, func(q *batching.Coalescer) error { return q.Set(64, 10, time.Hour) }, 0, 1, 1},
		{"closed already", 2, 1, (*batching.Coalescer).Close, 0, 0, 0},
		{"not closed yet", 2, 0, (*batching.Coalescer).Close, 1, 0, 0},
		{"close, no lane", 2, 0, (*batching.Coalescer).Close, 2, 0, 0},
		{"evicted", full, 0, func(q *batching.Coalescer) error {
			_, err := q.Queue(makePackets(1, 5), headroom, destination(full, ""), 0)
			return err
		}, full, 1, full},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var (
				w         recorder
				src       source
				meanwhile func()
				at        = destination(tc.at, "").Remote()
			)
			flush := func(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
				if f := meanwhile; f != nil && dst.Remote() == at {
					meanwhile = nil
					f()
				}
				return w.WriteBatch(bufs, offset, dst, vni)
			}
			q := batching.NewCoalescer(flush, 64, 1000, time.Hour)
			closing(t, q)
			for i := range tc.lanes {
				src.queue(t, q, destination(i, ""), 0, 5)
			}
			meanwhile = func() {
				var want error
				if tc.taken == 0 {
					want = net.ErrClosed
				}
				bufs, _ := src.packets(headroom, 5)
				if n, err := q.Queue(bufs, headroom, destination(tc.to, ""), 0); n != tc.taken || err != want {
					t.Errorf("queue meanwhile: got %d, %v, want %d, %v", n, err, tc.taken, want)
				}
			}
			if err := tc.cause(q); err != nil {
				t.Errorf("got %v", err)
			}
			if meanwhile != nil {
				t.Fatal("not flushed")
			}
			if n := q.Stats().Waiting; n != tc.wait {
				t.Errorf("waiting: got %d, want %d", n, tc.wait)
			}
			if err := q.FlushAll(); err != nil {
				t.Errorf("flush: %v", err)
			}
			runs := make(map[netip.AddrPort]int)
			packets := 0
			for _, s := range w.take() {
				packets += len(s.packets)
				runs[s.dst.Remote()]++
			}
			want := tc.lanes + tc.taken
			if tc.lanes == full {
				want++ // that of the cause: one lane, and so one run, for both
				if n := runs[destination(full, "").Remote()]; n != 1 {
					t.Errorf("got %d runs to the new remote, want 1", n)
				}
			}
			if packets != want {
				t.Errorf("got %d packets sent, want %d", packets, want)
			}
		})
	}
}
