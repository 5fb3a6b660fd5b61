// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

// TestClock checks that timers of the stack do not fire early, and that long
// ones are not changed.
func TestClock(t *testing.T) {
	for _, tt := range []struct{ ask, want time.Duration }{
		{0, netstack.MinTimer},
		{300 * time.Microsecond, netstack.MinTimer},
		{netstack.MinTimer, netstack.MinTimer},
		{200 * time.Millisecond, 200 * time.Millisecond},
		{2 * time.Hour, 2 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			fired := make(chan time.Time, 1)
			begin := time.Now()
			timer := netstack.NewClock().AfterFunc(tt.ask, func() { fired <- time.Now() })
			for _, what := range []string{"AfterFunc", "Reset"} {
				if got := (<-fired).Sub(begin); got != tt.want {
					t.Errorf("%s(%v) fired after %v, want %v", what, tt.ask, got, tt.want)
				}
				begin = time.Now()
				timer.Reset(tt.ask)
			}
			timer.Stop()
		})
	}
}
