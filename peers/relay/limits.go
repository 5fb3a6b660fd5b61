// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"sync/atomic"
	"time"
)

// Limits of answers. Questions that prove that they come from where they seem to,
// by a cookie, have limits of their own: a flood of replayed ones does not keep a
// client from renewing what it has.
const (
	// answersTotal is what a relay answers in a second: at about 5 µs each, one
	// CPU in forty.
	answersTotal = 5000
	// answersClient is what it answers one client in a second, on average.
	answersClient = 20
	// answersBurst is how many of them may come at once. After a restart of the
	// relay a client has up to 256 sessions to allocate and to bind.
	answersBurst = 600
)

// A bucket limits events to an average rate and a burst (as a virtual schedule:
// GCRA, ITU-T I.371): due is when all that was let through would be over if it
// had come evenly. The zero bucket is full. A mutex guards it.
type bucket struct{ due int64 }

// take lets one event through that takes cost, unless more than burst is under
// way. All are in nanoseconds.
func (b *bucket) take(now, cost, burst int64) bool {
	due := max(b.due, now) + cost
	if due-now > burst {
		return false
	}
	b.due = due
	return true
}

// answerLimit limits the answers to one client, or to all.
type answerLimit struct{ asked, proven bucket }

func (l *answerLimit) take(now int64, proven bool, perSecond, burst int64) bool {
	b := &l.asked
	if proven {
		b = &l.proven
	}
	cost := int64(time.Second) / perSecond
	return b.take(now, cost, burst*cost)
}

// A byteRate is the limit of bytes for each client. The zero value is none.
type byteRate struct {
	perSecond int64
	burst     int64 // nanoseconds
}

// minByteBurst lets two superpackets through at once whatever the rate is.
const minByteBurst = 2 * 65536

func newByteRate(perSecond int) byteRate {
	if perSecond <= 0 {
		return byteRate{}
	}
	r := byteRate{perSecond: int64(perSecond)}
	r.burst = max(int64(time.Second/4), r.cost(minByteBurst))
	return r
}

// cost returns the nanoseconds that n bytes take.
func (r byteRate) cost(n int) int64 {
	// The largest batch, 128 packets of 64 KiB, times 1e9 is below 2⁶³.
	return int64(n) * int64(time.Second) / r.perSecond
}

// byteBucket is a bucket for bytes that goroutines share without a lock.
type byteBucket struct{ due atomic.Int64 }

func (b *byteBucket) take(now int64, bytes int, r byteRate) bool {
	if r.perSecond == 0 {
		return true
	}
	cost := r.cost(bytes)
	for {
		old := b.due.Load()
		due := max(old, now) + cost
		if due-now > r.burst {
			return false
		}
		if b.due.CompareAndSwap(old, due) {
			return true
		}
	}
}
