// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tunrouter/tunrouter/batching"
)

func TestCoalescerErrors(t *testing.T) {
	type result struct {
		n   int
		err error
	}
	const refused, tooLong = syscall.EADDRNOTAVAIL, syscall.EMSGSIZE
	wrap := func(err error) error { return &batching.SendError{Op: "sendmmsg", Err: err} }
	for _, tc := range []struct {
		name  string
		calls [][]int
		// sends is what each call of the flush function returns; all is well
		// after the last.
		sends   []result
		want    []result // of each call
		lost    uint64
		waiting int
	}{
		{name: "own packets fail", calls: [][]int{{5, 5, 4, 5}},
			sends: []result{{1, wrap(refused)}}, want: []result{{1, refused}}},
		{name: "second run of the call fails", calls: [][]int{{5, 4, 5, 4, 5}},
			sends: []result{{2, nil}, {0, wrap(refused)}}, want: []result{{2, refused}}},
		{name: "own packets before a larger one fail", calls: [][]int{{5, 5, 6}},
			sends: []result{{0, wrap(refused)}}, want: []result{{0, refused}}},
		{name: "single packet fails", calls: [][]int{{0, 5}},
			sends: []result{{0, wrap(refused)}}, want: []result{{0, refused}}},
		{name: "later single packet fails", calls: [][]int{{5, 0, 5}},
			sends: []result{{1, nil}, {0, wrap(refused)}}, want: []result{{1, refused}}},

		{name: "earlier packets fail", calls: [][]int{{5, 5}, {6}},
			sends: []result{{1, wrap(refused)}}, want: []result{{2, nil}, {1, refused}}, lost: 1, waiting: 1},
		{name: "earlier and own packets fail", calls: [][]int{{5, 5}, {5, 4, 5}},
			sends: []result{{1, wrap(refused)}}, want: []result{{2, nil}, {0, refused}}, lost: 1},
		{name: "own packet after earlier ones fails", calls: [][]int{{5, 5}, {5, 4, 5}},
			sends: []result{{3, wrap(refused)}}, want: []result{{2, nil}, {1, refused}}},
		{name: "told once", calls: [][]int{{5, 5}, {6}, {6}},
			sends: []result{{0, wrap(refused)}}, want: []result{{2, nil}, {1, refused}, {1, nil}}, lost: 2, waiting: 2},

		{name: "own packets too long", calls: [][]int{{5, 5, 4, 3}},
			sends: []result{{1, wrap(tooLong)}}, want: []result{{2, tooLong}}, waiting: 1},
		{name: "single packet too long", calls: [][]int{{2000, 5, 5}},
			sends: []result{{0, wrap(tooLong)}}, want: []result{{2, tooLong}}, waiting: 2},
		{name: "earlier packets too long", calls: [][]int{{5, 5}, {4, 4}},
			sends: []result{{1, wrap(tooLong)}}, want: []result{{2, nil}, {2, tooLong}}, lost: 2, waiting: 1},
		{name: "earlier and own packets too long", calls: [][]int{{5}, {5, 4, 4}},
			sends: []result{{1, wrap(tooLong)}}, want: []result{{1, nil}, {2, tooLong}}, lost: 1, waiting: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var (
				w   recorder
				src source
				q   = batching.NewCoalescer(w.WriteBatch, 64, 1000, time.Hour)
			)
			closing(t, q)
			w.fail = func(s flushed) (int, error) {
				if len(tc.sends) == 0 {
					return len(s.packets), nil
				}
				r := tc.sends[0]
				tc.sends = tc.sends[1:]
				return r.n, r.err
			}
			for i, sizes := range tc.calls {
				bufs, _ := src.packets(headroom, sizes...)
				n, err := q.Queue(bufs, headroom, destination(0, "192.0.2.9"), 0)
				if want := tc.want[i]; n != want.n || !errors.Is(err, want.err) {
					t.Errorf("call %d: got %d, %v, want %d, %v", i, n, err, want.n, want.err)
				}
			}
			if len(tc.sends) > 0 {
				t.Errorf("%d calls of the flush function missing", len(tc.sends))
			}
			if s := q.Stats(); s.Lost != tc.lost || s.Waiting != tc.waiting {
				t.Errorf("got %d lost, %d waiting, want %d, %d", s.Lost, s.Waiting, tc.lost, tc.waiting)
			}
		})
	}
}

// What the timer could not send is told to the next call, unless that one has
// another source.
func TestCoalescerLateError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			w        recorder
			src      source
			q        = batching.NewCoalescer(w.WriteBatch, 64, 1000, time.Millisecond)
			old, new = destination(0, "192.0.2.9"), destination(0, "192.0.2.8")
		)
		broken := true
		w.fail = func(s flushed) (int, error) {
			if broken && s.dst.Local() == old.Local() {
				return 0, syscall.EADDRNOTAVAIL
			}
			return len(s.packets), nil
		}
		queue := func(dst *batching.Destination, want error) {
			t.Helper()
			for _, want := range []error{want, nil} { // told once
				bufs, _ := src.packets(headroom, 5)
				if n, err := q.Queue(bufs, headroom, dst, 0); n != 1 || err != want {
					t.Errorf("got %d, %v, want 1, %v", n, err, want)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		queue(old, nil)
		queue(old, syscall.EADDRNOTAVAIL)
		queue(new, nil)
		queue(old, nil)
		broken = false
		queue(old, syscall.EADDRNOTAVAIL)
		queue(old, nil)
		broken = true
		if s := q.Stats(); s.Lost != 6 || s.Flushes["timeout"] != 6 {
			t.Errorf("got %+v, want 6 lost, 6 timeouts", s)
		}
		// Those who flush everything are told the first error.
		for _, all := range []struct {
			name  string
			flush func() error
		}{
			{"flush", q.FlushAll},
			{"set", func() error { return q.Set(64, 1000, time.Millisecond) }},
			{"close", q.Close},
		} {
			bufs, _ := src.packets(headroom, 5)
			if n, err := q.Queue(bufs, headroom, old, 0); n != 1 || err != nil {
				t.Errorf("got %d, %v, want 1", n, err)
			}
			if err := all.flush(); err != syscall.EADDRNOTAVAIL {
				t.Errorf("%s: got %v, want %v", all.name, err, syscall.EADDRNOTAVAIL)
			}
		}
		if s := q.Stats(); s.Lost != 9 || s.Waiting != 0 {
			t.Errorf("got %+v, want 9 lost", s)
		}
	})
}
