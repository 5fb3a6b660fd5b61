// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import "sync/atomic"

// CoalescerStats is a snapshot of the counters of what gathers packets into runs.
// Packets sent while that is off are not counted.
type CoalescerStats struct {
	// Packets counts the packets that were taken, to be sent at once or later.
	Packets uint64
	// Flushes counts the runs, of one packet or more, by the reason to send them:
	// size (a smaller packet ended the run, or a larger or empty one came next),
	// destination (next came a packet to the same remote with another source or
	// VNI), segments and bytes (full), timeout, options (changed), evicted (packets
	// waited for too many remotes), close. A packet larger than a run may be is a
	// run by itself (bytes), so is an empty one (size).
	Flushes map[string]uint64
	// Lost counts the packets, out of Packets, that could not be sent when their
	// time came.
	Lost uint64
	// Waiting is the number of packets that wait now.
	Waiting int
}

// A flushReason is why a run is sent.
type flushReason int

const (
	flushSize flushReason = iota
	flushDestination
	flushSegments
	flushBytes
	flushTimeout
	flushOptions
	flushEvicted
	flushClose
	numFlushReasons
)

func (r flushReason) String() string {
	return [numFlushReasons]string{
		"size", "destination", "segments", "bytes", "timeout", "options", "evicted", "close",
	}[r]
}

// coalescerCounts are the counters behind CoalescerStats.
type coalescerCounts struct {
	packets, lost atomic.Uint64
	waiting       atomic.Int64
	flushes       [numFlushReasons]atomic.Uint64
}

// stats returns a snapshot of the counters. It takes no lock.
func (q *coalescer) stats() CoalescerStats {
	s := CoalescerStats{
		Packets: q.counts.packets.Load(), Lost: q.counts.lost.Load(), Waiting: int(q.counts.waiting.Load()),
		Flushes: make(map[string]uint64, numFlushReasons),
	}
	for r := range numFlushReasons {
		s.Flushes[r.String()] = q.counts.flushes[r].Load()
	}
	return s
}
