// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"errors"
	"fmt"
	"sync"
)

// ErrTooLong means that a packet does not fit a frame, or is empty.
var ErrTooLong = errors.New("xsk: packet does not fit a frame")

// A sender is the sending direction of a socket, without its system calls. The
// caller holds mu.
type sender struct {
	mu     sync.Mutex
	closed bool // the rings are gone
	down   bool // the last wake-up found no interface that is up
	tx     descRing
	done   addrRing // completion ring
	pool   *pool
	count  *counters
}

// complete makes the frames free that the kernel is done with.
func (s *sender) complete() int {
	size := uint64(s.pool.mem.frameSize)
	ready := s.done.ready(s.done.mask + 1)
	n := 0
	for i := range ready {
		if index := s.done.get(i) / size; index > uint64(^uint32(0)) || !s.pool.move(uint32(index), placeKernel, placeFree) {
			s.count.txBad.Add(1)
			continue
		}
		n++
	}
	if ready > 0 {
		s.done.consumed(ready)
		s.count.txCompleted.Add(uint64(n))
	}
	return n
}

// alloc borrows free frames, whole, as many as there are and fit.
func (s *sender) alloc(frames []Frame) int {
	if len(s.pool.free) < len(frames) {
		s.complete()
	}
	n := 0
	for ; n < len(frames); n++ {
		index, ok := s.pool.take(placeBorrowed)
		if !ok {
			break
		}
		frames[n] = s.pool.lend(index, 0, s.pool.mem.frameSize)
	}
	s.pool.mem.hold(int64(n))
	return n
}

// transmit hands borrowed frames to the kernel, up to the first that is not one.
func (s *sender) transmit(frames []Frame) (n int, err error) {
	size, bytes := uint64(s.pool.mem.frameSize), uint64(0)
	room := s.tx.room(uint32(len(frames)))
	for i := range frames {
		f := &frames[i]
		if err = s.pool.check(f); err != nil {
			break
		}
		start, ok := s.pool.start(f)
		if !ok {
			err = fmt.Errorf("%w: Data is not in frame %d", ErrFrame, f.index)
			break
		}
		if uint32(n) == room { // not while there are as many entries as frames
			break
		}
		s.pool.move(f.index, placeBorrowed, placeKernel)
		s.tx.put(uint32(n), desc{addr: uint64(f.index)*size + uint64(start), len: uint32(len(f.Data))})
		bytes += uint64(len(f.Data))
		n++
	}
	s.published(n, bytes)
	return n, err
}

// write copies packets into free frames and hands these to the kernel, up to the
// first that does not fit or for which there is no frame.
func (s *sender) write(bufs [][]byte, offset int) (n int, err error) {
	size, bytes := s.pool.mem.frameSize, uint64(0)
	if len(s.pool.free) < len(bufs) {
		s.complete()
	}
	room := s.tx.room(uint32(len(bufs)))
	for _, b := range bufs {
		length := len(b) - offset
		if length < 1 || length > size {
			err = fmt.Errorf("%w: %d bytes, want 1 to %d", ErrTooLong, length, size)
			break
		}
		if uint32(n) == room {
			break
		}
		index, ok := s.pool.take(placeKernel)
		if !ok {
			break
		}
		copy(s.pool.mem.frame(index), b[offset:])
		s.tx.put(uint32(n), desc{addr: uint64(index) * uint64(size), len: uint32(length)})
		bytes += uint64(length)
		n++
	}
	s.published(n, bytes)
	return n, err
}

func (s *sender) published(n int, bytes uint64) {
	if n > 0 {
		s.tx.publish(uint32(n))
		s.count.txPackets.Add(uint64(n))
		s.count.txBytes.Add(bytes)
	}
}

// release makes borrowed frames free, up to the first that is not one.
func (s *sender) release(frames []Frame) (n int, err error) {
	for i := range frames {
		if err = s.pool.giveBack(&frames[i], placeFree); err != nil {
			return i, err
		}
	}
	return len(frames), nil
}
