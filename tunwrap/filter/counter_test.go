// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"sync"
	"testing"
	"unsafe"
)

// TestCounter adds more than the part that is added to atomically can hold, from several
// goroutines, while somebody reads: nothing is lost and no reading is below the one before.
func TestCounter(t *testing.T) {
	const goroutines, n, bytes = 4, 20000, uint64(16 << 20)
	var s striped
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range n {
				s.add(3, int(bytes))
			}
		})
	}
	last := uint64(0)
	for range 100 {
		packets, sum := s.sum()
		if sum != packets*bytes || packets < last {
			t.Fatalf("%d bytes of %d packets, %d before", sum, packets, last)
		}
		last = packets
	}
	wg.Wait()
	if packets, sum := s.sum(); packets != goroutines*n || sum != goroutines*n*bytes {
		t.Errorf("%d packets, %d bytes, want %d and %d", packets, sum, goroutines*n, goroutines*n*bytes)
	}

	// Nobody reads while the packets overflow their part.
	var c counter
	c.recent.Store(1<<63 - 1<<byteBits)
	for range 3 {
		c.add(2)
	}
	if packets, sum := c.sum(); packets != 1<<27-1+3 || sum != 6 {
		t.Errorf("%d packets, %d bytes, want %d and 6", packets, sum, 1<<27+2)
	}
	if size := unsafe.Sizeof(c); size != 64 {
		t.Errorf("a counter has %d bytes", size)
	}
}
