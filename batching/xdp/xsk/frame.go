// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"errors"
	"fmt"
)

// ErrFrame means that a frame is not the caller's to give: it was given back before,
// is of another socket or direction, or its Data is not in it. Nothing happened to
// it or to those behind it.
var ErrFrame = errors.New("xsk: not a borrowed frame")

// A Frame is a borrowed frame of a socket. The zero Frame is none.
type Frame struct {
	// Data is the packet, from the Ethernet header on; it begins anywhere in the
	// frame, and its capacity reaches to the frame's end, not beyond. The borrower
	// may change the bytes and shorten Data at either end, and a frame to send may
	// be lengthened to its capacity.
	Data []byte

	index, tag uint32
	pool       *pool
}

// A pool is the frames of one direction of a socket and who has them. It is
// guarded by the direction's mutex.
type pool struct {
	mem   *memory
	first uint32   // the pool's frames are first to first+len(tags)-1 of mem
	tags  []uint32 // place of each frame and, above it, the number of its borrowing
	free  []uint32 // indices of free frames, a stack
}

// Places of a frame, the two low bits of its tag.
const (
	placeFree = iota
	placeKernel
	placeBorrowed
	placeMask = 3
	tagStep   = placeMask + 1 // one borrowing; after 2^30 of them the numbers repeat
)

// newPool returns a pool of n frames, all free.
func newPool(m *memory, first, n uint32) *pool {
	p := &pool{mem: m, first: first, tags: make([]uint32, n), free: make([]uint32, 0, n)}
	for i := n; i > 0; i-- { // lowest on top
		p.free = append(p.free, first+i-1)
	}
	return p
}

// move puts the frame from one place to another. It reports whether the frame is
// the pool's and was there.
func (p *pool) move(index, from, to uint32) bool {
	i := index - p.first // wraps to something large when below
	if i >= uint32(len(p.tags)) || p.tags[i]&placeMask != from {
		return false
	}
	p.tags[i] = p.tags[i]&^placeMask | to
	if to == placeFree {
		p.free = append(p.free, index)
	}
	return true
}

// take moves a free frame to the kernel's or borrowed ones.
func (p *pool) take(to uint32) (index uint32, ok bool) {
	if len(p.free) == 0 {
		return 0, false
	}
	index = p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return index, p.move(index, placeFree, to)
}

// lend describes a frame that has just moved to the borrowed ones; start and
// length are those of Data in the frame. The caller holds the memory for it.
func (p *pool) lend(index uint32, start, length int) Frame {
	i := index - p.first
	p.tags[i] += tagStep
	chunk := p.mem.frame(index)
	return Frame{Data: chunk[start : start+length], index: index, tag: p.tags[i], pool: p}
}

// check says whether f is a borrowed frame of the pool.
func (p *pool) check(f *Frame) error {
	switch {
	case f.pool == nil:
		return fmt.Errorf("%w: no frame", ErrFrame)
	case f.pool != p:
		return fmt.Errorf("%w: frame %d is of another socket or direction", ErrFrame, f.index)
	case f.tag&placeMask != placeBorrowed || p.tags[f.index-p.first] != f.tag:
		return fmt.Errorf("%w: frame %d was given back before", ErrFrame, f.index)
	}
	return nil
}

// start returns where f's Data begins in the frame, and whether it is in there.
func (p *pool) start(f *Frame) (int, bool) {
	chunk := p.mem.frame(f.index)
	at := len(chunk) - cap(f.Data)
	// Memory of something else has other addresses, whatever its capacity.
	if at < 0 || len(f.Data) == 0 || &f.Data[0] != &chunk[at] {
		return 0, false
	}
	return at, true
}

// giveBack moves a borrowed frame to another place.
func (p *pool) giveBack(f *Frame, to uint32) error {
	if err := p.check(f); err != nil {
		return err
	}
	p.move(f.index, placeBorrowed, to)
	return nil
}
