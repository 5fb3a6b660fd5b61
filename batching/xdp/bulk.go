// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"slices"
	"time"
)

// In copy mode a frame past the kernel costs about half of what a datagram through
// a socket does, but a segmented message of 64 datagrams costs less than three
// frames (docs/XDP.md has the figures). So bulk leaves through the kernel's
// sockets.
//
// Frames past the kernel also pass its queueing discipline, in which bulk may
// wait. For as long as that can be, what follows bulk goes the same way: a peer's
// packets keep their order. Single packets that follow do not make it longer: they
// alone fill no queue.
const (
	// bulkRun is the number of packets of one size that count as bulk.
	bulkRun = 4
	// bulkTime is for how long after bulk. A queue on the way out that holds packets
	// longer than that is one that drops (CoDel's interval, RFC 8289, is 100 ms).
	bulkTime = 100 * time.Millisecond
)

// bulky reports whether packets, or those that they follow, are bulk. clock is when
// time began.
func (w *way) bulky(bufs [][]byte, clock time.Time) bool {
	last := w.bulk.Load()
	run := isRun(bufs)
	if !run && last == 0 {
		return false // and no look at the clock
	}
	now := 1 + int64(time.Since(clock)) // 0 is none
	switch {
	case run:
		w.bulk.Store(now)
	case now-last > int64(bulkTime):
		w.bulk.CompareAndSwap(last, 0)
		return false
	}
	return true
}

// isRun reports whether the kernel can send the first packets as one message: all
// are of one size, the last may be shorter.
func isRun(bufs [][]byte) bool {
	if len(bufs) < bulkRun {
		return false
	}
	size, last := len(bufs[0]), bufs[bulkRun-1]
	return len(last) <= size &&
		!slices.ContainsFunc(bufs[1:bulkRun-1], func(b []byte) bool { return len(b) != size })
}

// beside sets the kernel's sockets.
func (s *shared) beside(v4, v6 []Kernel) {
	k := &kernels{v4: v4, v6: v6}
	for _, c := range slices.Concat(v4, v6) {
		if c, ok := c.(interface {
			Capabilities() (gso, gro bool, reasons []string)
		}); ok {
			gso, _, _ := c.Capabilities()
			k.gso = k.gso || gso
		}
	}
	s.kernel.Store(k)
}

// segments reports whether the kernel's sockets send segmented messages.
func (s *shared) segments() bool {
	k := s.kernel.Load()
	return k != nil && k.gso
}
