// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import "time"

// A bucket limits how often something is done: burst times at once, then once in
// every interval. The zero bucket is full.
type bucket struct {
	taken int    // of the burst
	at    moment // when taken was right
}

// take reports whether it may be done now, and notes that it is.
func (b *bucket) take(at moment, interval time.Duration, burst int) bool {
	if b.taken > 0 {
		n := (at - b.at) / interval
		b.taken = max(0, b.taken-int(min(n, moment(burst))))
		b.at += n * interval
	}
	if b.taken == 0 {
		b.at = at
	}
	if b.taken >= burst {
		return false
	}
	b.taken++
	return true
}

// Limits for what one peer or relay can make us do.
const (
	// 20 Pongs a second and burst of 40, by docs/PROTOCOL.md: for Pings over trusted
	// paths, and for all others, so that old ones which somebody sends again from
	// elsewhere do not keep us from answering those that count.
	pongInterval, pongBurst = time.Second / 20, 40
	// Addresses that were never seen before: all that a peer can name, then one a
	// second.
	newInterval, newBurst = time.Second, maxCandidates
	// A relay answers 20 a second for each client.
	allocateInterval, allocateBurst = time.Second / 15, 20
	// Sessions that other clients of a relay want: all that one may have, within
	// some seconds.
	toldInterval, toldBurst = time.Second / 50, 100
)
