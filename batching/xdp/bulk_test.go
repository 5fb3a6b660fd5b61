// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestIsRun(t *testing.T) {
	for _, c := range []struct {
		sizes []int
		want  bool
	}{
		{nil, false},
		{[]int{100}, false},
		{[]int{100, 100, 100}, false},
		{[]int{100, 100, 100, 100}, true},
		{[]int{100, 100, 100, 50}, true}, // the last of a message may be shorter
		{[]int{100, 100, 100, 150}, false},
		{[]int{100, 100, 50, 100}, false},
		{[]int{100, 200, 100, 100, 100, 100}, false},
		{[]int{100, 100, 100, 100, 1, 2, 3}, true},
	} {
		var bufs [][]byte
		for _, n := range c.sizes {
			bufs = append(bufs, make([]byte, n))
		}
		if got := isRun(bufs); got != c.want {
			t.Errorf("%v: %v", c.sizes, got)
		}
	}
}

// TestBulky sees that what follows bulk takes the same way for a while.
func TestBulky(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := time.Now()
		w := &way{}
		one := [][]byte{make([]byte, 100)}
		many := [][]byte{one[0], one[0], one[0], one[0]}
		step := func(pause time.Duration, bufs [][]byte, want bool) {
			t.Helper()
			time.Sleep(pause)
			if got := w.bulky(bufs, clock); got != want {
				t.Errorf("%d packets after %v at %v: %v", len(bufs), pause, time.Since(clock), got)
			}
		}
		step(0, one, false)
		step(0, many, true)
		step(0, one, true)
		step(bulkTime/2, one, true)
		step(bulkTime/2, one, true)
		step(1, one, false) // although it was not quiet
		step(0, one, false)
		step(0, many, true)
		step(bulkTime, many, true)
		step(bulkTime, one, true)
		step(time.Hour, many, true)
		step(bulkTime+1, one, false)
	})
}
