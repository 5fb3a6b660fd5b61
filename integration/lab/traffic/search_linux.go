// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"errors"
	"time"
)

// maxSlow is how many trials at one rate may lose with a sender that was late
// before the rate is given up: on a shared machine many are late.
const maxSlow = 8

// Search returns the outcome at the highest rate, in packets a second, that
// loses less than maxLoss, to a precision of 3 %. It doubles from start until a
// rate is lost, then bisects. A rate is lost when two trials lose too much.
// Trials that do so when the sender did not keep its pace are repeated, as its
// bursts may be why; limited says that the rate above the result was given up
// after too many of those. Every trial is passed to note, if not nil.
func Search(try func(rate int, d time.Duration) (Trial, error), start int, d time.Duration, maxLoss float64, note func(Trial)) (best Trial, limited bool, err error) {
	attempt := func(rate int) (bool, error) {
		lost, slow := 0, 0
		for lost < 2 && slow < maxSlow {
			t, err := try(rate, d)
			if err != nil {
				return false, err
			}
			if note != nil {
				note(t)
			}
			switch {
			case t.Loss() < maxLoss && t.Took.Seconds() <= d.Seconds()*(1+paceSlack):
				best = t // also with late bursts, which are harder
				return true, nil
			case !t.PaceKept:
				slow++
			default:
				lost++
			}
		}
		limited = lost < 2
		return false, nil
	}
	low, high := 0, start
	for {
		ok, err := attempt(high)
		if err != nil {
			return best, false, err
		}
		if !ok {
			break
		}
		low, high = high, 2*high
	}
	for float64(high-low) > 0.03*float64(high) {
		middle := (low + high) / 2
		if middle < 100 {
			return best, false, errors.New("not even 100 packets a second arrive")
		}
		ok, err := attempt(middle)
		if err != nil {
			return best, false, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return best, limited, nil
}
