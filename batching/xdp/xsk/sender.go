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

// sent returns how many frames complete would make free.
func (s *sender) sent() int {
	if s.closed {
		return 0
	}
	return int(s.done.ready(s.done.mask + 1))
}

// complete makes the frames free that the kernel is done with.
func (s *sender) complete() int {
	p := s.pool
	ready := s.done.ready(s.done.mask + 1)
	n := 0
	for seen := range ready {
		i, ok := p.at(s.done.get(seen))
		if !ok || p.tags[i]&placeMask != placeKernel {
			s.count.txBad.Add(1)
			continue
		}
		p.tags[i] = p.tags[i]&^placeMask | placeFree
		p.free = append(p.free, p.first+uint32(i)) // has the capacity for all
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
	p := s.pool
	if len(p.free) < len(frames) {
		s.complete()
	}
	n := min(len(frames), len(p.free))
	rest := len(p.free) - n
	for i := range frames[:n] {
		index := p.free[rest+n-1-i]
		p.lend(&frames[i], int(index-p.first), 0, p.size())
	}
	p.free = p.free[:rest]
	p.lent += n
	p.part.hold(int64(n))
	return n
}

// transmit hands borrowed frames to the kernel, up to the first that is not one.
func (s *sender) transmit(frames []Frame) (n int, err error) {
	p, bytes := s.pool, uint64(0)
	room := s.tx.room(uint32(len(frames)))
	for i := range frames {
		f := &frames[i]
		if !p.has(f) {
			err = p.refuse(f)
			break
		}
		start, ok := p.start(f)
		if !ok {
			err = fmt.Errorf("%w: Data is not in frame %d", ErrFrame, f.index)
			break
		}
		if uint32(n) == room { // not while there are as many entries as frames
			break
		}
		p.giveBack(f, placeKernel)
		s.tx.put(uint32(n), desc{addr: p.addr(f.index) + uint64(start), len: uint32(len(f.Data))})
		bytes += uint64(len(f.Data))
		n++
	}
	p.lent -= n
	s.published(n, bytes)
	return n, err
}

// write copies packets into free frames and hands these to the kernel, up to the
// first that does not fit or for which there is no frame.
func (s *sender) write(bufs [][]byte, offset int) (n int, err error) {
	p, bytes := s.pool, uint64(0)
	if len(p.free) < len(bufs) {
		s.complete()
	}
	room := s.tx.room(uint32(len(bufs)))
	for _, b := range bufs {
		length := len(b) - offset
		if length < 1 || length > p.size() {
			err = fmt.Errorf("%w: %d bytes, want 1 to %d", ErrTooLong, length, p.size())
			break
		}
		if uint32(n) == room {
			break
		}
		index, ok := p.take()
		if !ok {
			break
		}
		copy(p.frame(index), b[offset:])
		s.tx.put(uint32(n), desc{addr: p.addr(index), len: uint32(length)})
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
	p := s.pool
	for i := range frames {
		f := &frames[i]
		if !p.has(f) {
			err = p.refuse(f)
			break
		}
		p.giveBack(f, placeFree)
		p.free = append(p.free, f.index)
		n++
	}
	p.lent -= n
	return n, err
}
