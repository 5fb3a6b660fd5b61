// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxShards is how many locks a table has; minShard is how many flows a shard has
// at least, where there are several: in less there is no sharing fairly.
const (
	maxShards = 64
	minShard  = 256
)

// A table holds a bounded number of flows.
type table struct {
	seed    seed
	max     int
	shards  []shard
	shift   uint // of a hash, for the index of its shard
	evicted atomic.Uint64
}

// init makes t empty, with room for max flows.
func (t *table) init(max int, secret seed) {
	n, bits := 1, uint(0)
	for n < maxShards && max/(2*n) >= minShard {
		n, bits = 2*n, bits+1
	}
	t.seed, t.max, t.shift = secret, max, 64-bits
	t.shards = make([]shard, n)
	for i := range t.shards {
		s := &t.shards[i]
		s.evicted = &t.evicted
		if s.capacity = max / n; i < max%n {
			s.capacity++
		}
	}
}

func (t *table) shard(hash uint64) *shard { return &t.shards[hash>>t.shift] } // shift 64 is 0

// count removes what has expired and returns how many flows are left.
func (t *table) count(now int64) int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.sweep(s.at(now), len(s.flows))
		n += s.used
		s.mu.Unlock()
	}
	return n
}

// A shard is the part of a table behind one lock.
type shard struct {
	mu       sync.Mutex
	now      int64 // the latest time that anybody came with, see at
	capacity int
	used     int
	// flows grow up to capacity and one: place 0 is none. Freed places are chained from
	// free. heads are the chains of equal hashes.
	flows []flow
	free  uint32
	heads []uint32
	hand  uint32 // of the sweep
	// sweepAt is when a full shard may be looked through again.
	sweepAt int64
	owners
	evicted *atomic.Uint64
	_       [64]byte
}

// at returns the time for one that comes with now: batches that began earlier may come
// later, and the queues are in the order of time.
func (s *shard) at(now int64) int64 {
	s.now = max(s.now, now)
	return s.now
}

// find returns the place of the flow with this key, 0 without one that is alive.
func (s *shard) find(key *tuple, hash uint64, now int64) uint32 {
	if len(s.heads) == 0 {
		return 0
	}
	for i := s.heads[uint32(hash)&uint32(len(s.heads)-1)]; i != 0; i = s.flows[i].next {
		fl := &s.flows[i]
		if fl.hash != uint32(hash) || fl.key != *key {
			continue
		}
		if fl.expired(now) {
			s.remove(i)
			return 0
		}
		return i
	}
	return 0
}

// sweepInsert is how many places are looked at for each new flow: two find all that
// has expired within half as many insertions as there are places.
const sweepInsert = 2

// sweepEvery is how often all places of a full shard are looked at, at most: a
// thousand places take some microseconds, too much for each packet of a flood.
const sweepEvery = int64(100 * time.Millisecond)

// insert makes a new flow that owner's packet began, and returns its place, or 0 when there
// is no room for it. The key must not be there.
func (s *shard) insert(key *tuple, hash uint64, party Party, now int64) uint32 {
	s.sweep(now, sweepInsert)
	if s.used == s.capacity && now >= s.sweepAt {
		s.sweep(now, len(s.flows))
		s.sweepAt = now + sweepEvery
	}
	if s.used == s.capacity {
		victim := s.victim(party, s.capacity)
		if victim == 0 {
			return 0
		}
		s.remove(victim)
		s.evicted.Add(1)
	}
	i := s.place()
	fl := &s.flows[i]
	*fl = flow{key: *key, seen: now, used: true, hash: uint32(hash), owner: s.join(party)}
	head := &s.heads[fl.hash&uint32(len(s.heads)-1)]
	fl.next, *head = *head, i
	s.link(i)
	s.used++
	return i
}

// place returns a free place. There must be one.
func (s *shard) place() uint32 {
	if i := s.free; i != 0 {
		s.free = s.flows[i].next
		return i
	}
	if len(s.flows) == 0 {
		s.flows = make([]flow, 1, min(s.capacity+1, 16))
		n := 1
		for n < s.capacity {
			n *= 2
		}
		s.heads = make([]uint32, n)
	}
	s.flows = append(s.flows, flow{})
	return uint32(len(s.flows) - 1)
}

// remove ends the flow at i.
func (s *shard) remove(i uint32) {
	fl := &s.flows[i]
	at := &s.heads[fl.hash&uint32(len(s.heads)-1)]
	for *at != i {
		at = &s.flows[*at].next
	}
	*at = fl.next
	s.unlink(i)
	s.leave(fl.owner)
	*fl = flow{next: s.free}
	s.free = i
	s.used--
}

// sweep looks at the next n places and ends the flows there that have expired.
func (s *shard) sweep(now int64, n int) {
	for range min(n, len(s.flows)-1) {
		if s.hand++; int(s.hand) >= len(s.flows) {
			s.hand = 1
		}
		if fl := &s.flows[s.hand]; fl.used && fl.expired(now) {
			s.remove(s.hand)
		}
	}
}
