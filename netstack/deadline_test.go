// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

// TestDeadline moves a deadline in all ways and checks when it passes, also for
// one who waits already.
func TestDeadline(t *testing.T) {
	const never = time.Duration(-1)
	at := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	type move struct{ when, to time.Duration } // to never: none; from the start
	for _, tt := range []struct {
		name  string
		moves []move
		want  time.Duration // when one who waits from the start is told
	}{
		{"set", []move{{0, at(10)}}, at(10)},
		{"past", []move{{at(5), at(1)}}, at(5)},
		{"later", []move{{0, at(10)}, {at(5), at(30)}}, at(30)},
		{"sooner", []move{{0, at(30)}, {at(5), at(10)}}, at(10)},
		{"taken away", []move{{0, at(10)}, {at(5), never}, {at(20), at(40)}}, at(40)},
		{"passed stays passed for who waited", []move{{0, at(10)}, {at(11), at(40)}}, at(10)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var d netstack.Deadline
				told := make(chan time.Duration, 1)
				passed := d.Passed()
				go func() {
					<-passed
					told <- time.Since(begin)
				}()
				for _, m := range tt.moves {
					time.Sleep(m.when - time.Since(begin))
					to := time.Time{}
					if m.to != never {
						to = begin.Add(m.to)
					}
					d.Set(to)
					if got, want := d.Over(), m.to != never && m.to <= m.when; got != want {
						t.Errorf("over %v at %v with deadline %v", got, m.when, m.to)
					}
				}
				if got := <-told; got != tt.want {
					t.Errorf("told at %v, want %v", got, tt.want)
				}
				d.Set(time.Time{})
				if d.Over() {
					t.Error("over without deadline")
				}
				select {
				case <-d.Passed():
					t.Error("passed without deadline")
				default:
				}
			})
		})
	}
}
