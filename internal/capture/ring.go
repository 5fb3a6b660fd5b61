// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

import "sync/atomic"

// cellLen is the unit of memory of a ring: a packet of the usual MTU takes three, a
// small one wastes three quarters of one.
const cellLen = 512

// A ring hands packets from many goroutines to one, in the order in which they were
// put, through memory of fixed size.
//
//	 tail                        head
//	  ▼                           ▼
//	─┬──────────┬────┬────────────┬───────
//	 │ packet   │ .. │ being put  │ free
//	─┴──────────┴────┴────────────┴───────
//
// Whoever puts a packet takes cells for it by moving head, copies, and marks the first
// cell; the reader takes packets from tail as long as they are marked. Positions count
// cells since the beginning and are never reduced, so a mark tells this round from those
// before, and nobody has to clear it.
type ring struct {
	data  []byte // cellLen for each cell
	metas []meta // of the packet that begins in the cell
	marks []atomic.Uint64
	wake  chan struct{}

	_       [64]byte // what follows is written by different CPUs
	head    atomic.Uint64
	_       [64]byte
	tail    atomic.Uint64
	_       [64]byte
	waiting atomic.Bool // the reader is to be woken
}

// A meta is what a ring keeps about a packet. It has no pointers: the garbage collector
// need not look at the ring.
type meta struct {
	at         int64  // Unix time in ns
	length     uint32 // of the packet
	stored     uint32 // of it in the ring
	sum        uint16 // of all of the packet, when it is not stored whole
	side       Side
	sent       bool
	known      bool // the peer
	peer       Key
	v6         bool // of the addresses; for datagrams
	localKnown bool
	local      [16]byte
	remote     [16]byte
	localPort  uint16
	remotePort uint16
}

// newRing returns a ring of at least so many bytes.
func newRing(size int) *ring {
	cells := 1
	for cells*cellLen < size {
		cells *= 2
	}
	return &ring{
		data:  make([]byte, cells*cellLen),
		metas: make([]meta, cells),
		marks: make([]atomic.Uint64, cells),
		wake:  make(chan struct{}, 1),
	}
}

// put copies a packet of two parts behind those that are there. It reports false when
// there is no room.
func (r *ring) put(m *meta, first, rest []byte) bool {
	n := uint64(max(1, (len(first)+len(rest)+cellLen-1)/cellLen))
	cells := uint64(len(r.marks))
	var at uint64
	for {
		tail := r.tail.Load() // before head, which is never behind it
		at = r.head.Load()
		if at+n-tail > cells {
			if r.tail.Load() != tail {
				continue // room was made meanwhile
			}
			return false
		}
		if r.head.CompareAndSwap(at, at+n) {
			break
		}
	}
	cell := at & (cells - 1)
	r.metas[cell] = *m
	r.metas[cell].stored = uint32(len(first) + len(rest))
	r.copyTo(r.copyTo(cell*cellLen, first), rest)
	r.marks[cell].Store(at + 1)
	if r.waiting.Load() && r.waiting.Swap(false) {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// copyTo copies b to offset at, going on at the beginning where the memory ends, and
// returns the offset behind it.
func (r *ring) copyTo(at uint64, b []byte) uint64 {
	size := uint64(len(r.data))
	n := copy(r.data[at:], b)
	if n < len(b) {
		return uint64(copy(r.data, b[n:]))
	}
	return (at + uint64(n)) % size
}

// next returns the first packet, in two parts, valid until free. It returns a nil meta
// when there is none.
func (r *ring) next() (m *meta, first, rest []byte) {
	tail := r.tail.Load()
	cell := tail & uint64(len(r.marks)-1)
	if r.marks[cell].Load() != tail+1 {
		return nil, nil, nil
	}
	m = &r.metas[cell]
	first = r.data[cell*cellLen:]
	if int(m.stored) <= len(first) {
		return m, first[:m.stored], nil
	}
	return m, first, r.data[:int(m.stored)-len(first)]
}

// free gives the memory of the packet that next returned back.
func (r *ring) free(m *meta) {
	r.tail.Add(max(1, (uint64(m.stored)+cellLen-1)/cellLen))
}

// empty reports whether nothing is in the ring and nobody is putting anything.
func (r *ring) empty() bool { return r.tail.Load() == r.head.Load() }

// wait returns a channel that becomes ready when there is something to read, now or
// later.
func (r *ring) wait() <-chan struct{} {
	r.waiting.Store(true)
	if m, _, _ := r.next(); m != nil && r.waiting.Swap(false) {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return r.wake
}
