// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"time"

	"github.com/tunrouter/tunrouter/geneve"
)

// MaxLanes is maxLanes.
const MaxLanes = maxLanes

// A Coalescer is a coalescer.
type Coalescer struct{ q *coalescer }

// NewCoalescer is newCoalescer, Set is set.
func NewCoalescer(flush func([][]byte, int, *Destination, geneve.VNI) (int, error), segments, bytes int, timeout time.Duration) *Coalescer {
	return &Coalescer{newCoalescer(flush, coalescerOptions{segments, bytes, timeout})}
}

func (c *Coalescer) Set(segments, bytes int, timeout time.Duration) error {
	return c.q.set(coalescerOptions{segments, bytes, timeout})
}

func (c *Coalescer) Queue(bufs [][]byte, offset int, dst *Destination, vni geneve.VNI) (int, error) {
	return c.q.queue(bufs, offset, dst, vni)
}
func (c *Coalescer) FlushAll() error       { return c.q.flushAll() }
func (c *Coalescer) Close() error          { return c.q.close() }
func (c *Coalescer) Stats() CoalescerStats { return c.q.stats() }

// Lanes returns the number of lanes.
func (c *Coalescer) Lanes() int {
	c.q.mu.RLock()
	defer c.q.mu.RUnlock()
	return len(c.q.lanes)
}

// QueueLate is Queue while the timer of the lane, which something waits in, has
// fired, and its function takes the delay to get to the lane.
func (c *Coalescer) QueueLate(delay time.Duration, bufs [][]byte, offset int, dst *Destination) (int, error) {
	l, p := c.q.lane(dst.remote)
	defer l.mu.Unlock()
	l.timer.Stop()
	go func() {
		time.Sleep(delay)
		l.expire()
	}()
	return l.queue(p, bufs, offset, dst, 0)
}
