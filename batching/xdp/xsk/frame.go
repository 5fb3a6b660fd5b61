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
	part  *part
	data  []byte   // the pool's frames, one behind the other
	shift uint     // a frame has 1<<shift bytes
	first uint32   // the pool's frames are first to first+len(tags)-1 of the memory
	tags  []uint32 // place of each frame and, above it, the number of its borrowing
	free  []uint32 // indices of free frames, a stack
	lent  int      // how many are borrowed
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
func newPool(in *part, first, n uint32) *pool {
	shift := in.mem.opt.shiftOf()
	p := &pool{part: in, shift: shift, first: first, tags: make([]uint32, n), free: make([]uint32, 0, n)}
	p.data = in.mem.data[int(first)<<shift : int(first+n)<<shift : int(first+n)<<shift]
	for i := n; i > 0; i-- { // lowest on top
		p.free = append(p.free, first+i-1)
	}
	return p
}

// size returns the bytes of a frame.
func (p *pool) size() int { return 1 << p.shift }

// addr returns the position of a frame in the memory.
func (p *pool) addr(index uint32) uint64 { return uint64(index) << p.shift }

// frame returns the bytes of a frame of the pool.
func (p *pool) frame(index uint32) []byte {
	at := int(index-p.first) << p.shift
	return p.data[at : at+1<<p.shift : at+1<<p.shift]
}

// at finds the frame in which the position of the memory is. What the kernel names
// may be anything.
func (p *pool) at(addr uint64) (i int, ok bool) {
	n := addr>>p.shift - uint64(p.first) // wraps to something large when below
	return int(n), n < uint64(len(p.tags))
}

// take moves a free frame to the kernel's.
func (p *pool) take() (index uint32, ok bool) {
	last := len(p.free) - 1
	if last < 0 {
		return 0, false
	}
	index = p.free[last]
	p.free = p.free[:last]
	tag := &p.tags[index-p.first]
	*tag = *tag&^placeMask | placeKernel
	return index, true
}

// lend describes frame i of the pool, which moves to the borrowed ones; start and
// length are those of Data in the frame. The caller holds the part for it.
func (p *pool) lend(f *Frame, i, start, length int) {
	tag := p.tags[i]&^placeMask + tagStep | placeBorrowed
	p.tags[i] = tag
	at := i << p.shift
	f.Data = p.data[at+start : at+start+length : at+1<<p.shift]
	f.index, f.tag, f.pool = p.first+uint32(i), tag, p
}

// has reports whether f is a borrowed frame of the pool.
func (p *pool) has(f *Frame) bool { return f.pool == p && p.tags[f.index-p.first] == f.tag }

// refuse says why f is not a borrowed frame of the pool.
func (p *pool) refuse(f *Frame) error {
	switch {
	case f.pool == nil:
		return fmt.Errorf("%w: no frame", ErrFrame)
	case f.pool != p:
		return fmt.Errorf("%w: frame %d is of another socket or direction", ErrFrame, f.index)
	}
	return fmt.Errorf("%w: frame %d was given back before", ErrFrame, f.index)
}

// start returns where f's Data begins in the frame, and whether it is in there.
func (p *pool) start(f *Frame) (int, bool) {
	chunk := p.frame(f.index)
	at := len(chunk) - cap(f.Data)
	// Memory of something else has other addresses, whatever its capacity.
	if at < 0 || len(f.Data) == 0 || &f.Data[0] != &chunk[at] {
		return 0, false
	}
	return at, true
}

// giveBack moves a borrowed frame, which the pool has, to another place.
func (p *pool) giveBack(f *Frame, to uint32) {
	p.tags[f.index-p.first] = f.tag&^placeMask | to
}
