// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
)

// A key is a question: dst is valid, src may be the zero Addr; both are unmapped
// and without zone.
type key struct{ dst, src netip.Addr }

// An entry is one answer of the kernel. Only used and next change.
type entry struct {
	key
	hop    Hop
	reason Reason
	fixed  bool        // the kernel is not to learn the neighbour again
	used   atomic.Bool // since the last refresh
	next   atomic.Pointer[entry]
}

// A store keeps entries by key: a hash table of lists. One goroutine at a time
// may change it (the table's mu); get needs no lock. An entry that was taken out
// still leads to those behind it, so a reader that stands on it misses none. It
// is never put in again.
type store struct {
	lists []atomic.Pointer[entry] // a power of two
	seed  [4]uint64               // so that nobody can choose what falls together
	limit int
	n     atomic.Int64
}

// newStore returns a store of at most limit entries.
func newStore(limit int) *store {
	s := &store{lists: make([]atomic.Pointer[entry], 1<<bits.Len(uint(limit))), limit: limit}
	for i := range s.seed {
		s.seed[i] = rand.Uint64()
	}
	return s
}

// list returns where the list with k begins.
func (s *store) list(k *key) *atomic.Pointer[entry] {
	d, r := k.dst.As16(), k.src.As16()
	h := mix(binary.LittleEndian.Uint64(d[:])^s.seed[0], binary.LittleEndian.Uint64(d[8:])^s.seed[1])
	h ^= mix(binary.LittleEndian.Uint64(r[:])^s.seed[2], binary.LittleEndian.Uint64(r[8:])^s.seed[3])
	return &s.lists[h&uint64(len(s.lists)-1)]
}

// mix is the step of wyhash.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// get returns the entry of k or nil.
func (s *store) get(k *key) *entry {
	e := s.list(k).Load()
	for e != nil && e.key != *k {
		e = e.next.Load()
	}
	return e
}

// put adds e in the place of the one with the same key, or, in a full store, of
// any other.
func (s *store) put(e *entry) {
	at := s.list(&e.key)
	for old := at.Load(); old != nil; old = at.Load() {
		if old.key == e.key {
			e.next.Store(old.next.Load())
			at.Store(e)
			return
		}
		at = &old.next
	}
	if s.len() >= s.limit {
		s.evict()
	}
	at = s.list(&e.key)
	e.next.Store(at.Load())
	at.Store(e)
	s.n.Add(1)
}

// evict takes out the first entry of a random list.
func (s *store) evict() {
	for i := rand.IntN(len(s.lists)); ; i++ {
		at := &s.lists[i&(len(s.lists)-1)]
		if e := at.Load(); e != nil {
			at.Store(e.next.Load())
			s.n.Add(-1)
			return
		}
	}
}

// remove takes out the entries for which wrong returns true.
func (s *store) remove(wrong func(*entry) bool) {
	if s.len() == 0 {
		return
	}
	for i := range s.lists {
		at := &s.lists[i]
		for e := at.Load(); e != nil; e = at.Load() {
			if wrong(e) {
				at.Store(e.next.Load())
				s.n.Add(-1)
			} else {
				at = &e.next
			}
		}
	}
}

// all returns the entries, in no order.
func (s *store) all() []*entry {
	list := make([]*entry, 0, s.len())
	for i := range s.lists {
		for e := s.lists[i].Load(); e != nil; e = e.next.Load() {
			list = append(list, e)
		}
	}
	return list
}

func (s *store) len() int { return int(s.n.Load()) }
