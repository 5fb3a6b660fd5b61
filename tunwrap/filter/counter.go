// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"sync"
	"sync/atomic"
)

// stripes is how many copies there are of each counter, so that the goroutines of a
// few queues do not take a cache line from each other for every packet. A power of two.
const stripes = 8

// A counter counts packets and bytes with one atomic addition for both, which is half
// of what a packet of a remembered flow costs. It fills a cache line.
type counter struct {
	recent atomic.Uint64 // packets, and bytes in the lower byteBits
	mu     sync.Mutex
	// What was moved here from recent; mu guards both and the move.
	packets, bytes uint64
	_              [32]byte
}

// The bytes of recent have room for 64 GiB, the packets for 268 million. They are
// moved on at half of it, which leaves whoever adds meanwhile more room than they can fill.
const (
	byteBits = 36
	byteMask = 1<<byteBits - 1
	halfFull = 1<<63 | 1<<(byteBits-1)
)

func (c *counter) add(bytes int) {
	if c.recent.Add(1<<byteBits+uint64(bytes))&halfFull != 0 {
		c.sum()
	}
}

// sum returns the numbers since the beginning.
func (c *counter) sum() (packets, bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	recent := c.recent.Swap(0)
	c.packets += recent >> byteBits
	c.bytes += recent & byteMask
	return c.packets, c.bytes
}

// A striped is a counter in copies; a Batch always uses the same one.
type striped [stripes]counter

func (s *striped) add(stripe uint32, bytes int) { s[stripe%stripes].add(bytes) }

func (s *striped) sum() (packets, bytes uint64) {
	for i := range s {
		p, b := s[i].sum()
		packets, bytes = packets+p, bytes+b
	}
	return packets, bytes
}
