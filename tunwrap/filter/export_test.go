// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import "fmt"

// Check walks the tables and returns the first thing that does not fit together.
func (f *Filter) Check() error {
	for _, t := range []*table{&f.flows, &f.fragments} {
		for i := range t.shards {
			if err := t.shards[i].check(t); err != nil {
				return fmt.Errorf("shard %d: %w", i, err)
			}
		}
	}
	return nil
}

func (s *shard) check(t *table) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	used, free := 0, 0
	for i := range s.flows {
		if s.flows[i].used {
			used++
		}
	}
	for i := s.free; i != 0; i = s.flows[i].next {
		if free++; s.flows[i].used {
			return fmt.Errorf("place %d is free and in use", i)
		}
	}
	if used != s.used || used > s.capacity || len(s.flows) > 0 && used+free != len(s.flows)-1 {
		return fmt.Errorf("%d flows, %d counted, %d free, %d places for %d", used, s.used, free, len(s.flows)-1, s.capacity)
	}
	chained := 0
	for h, head := range s.heads {
		for i := head; i != 0; i = s.flows[i].next {
			fl := &s.flows[i]
			hash := t.seed.hash(&fl.key)
			if chained++; !fl.used || int(uint32(hash))&(len(s.heads)-1) != h || t.shard(hash) != s {
				return fmt.Errorf("place %d is in the wrong chain", i)
			}
		}
	}
	queued, parties := 0, 0
	for party, o := range s.index {
		own := &s.list[o]
		n := 0
		for condition, q := range own.queues {
			older, seen := uint32(0), int64(0)
			for i := q.oldest; i != 0; i = s.flows[i].newer {
				fl := &s.flows[i]
				if !fl.used || fl.owner != o || fl.older != older || fl.answered != (condition == answered) || fl.seen < seen {
					return fmt.Errorf("place %d is in the wrong queue", i)
				}
				n, older, seen = n+1, i, fl.seen
			}
			if q.newest != older {
				return fmt.Errorf("queue of party %d ends at %d, not %d", party, older, q.newest)
			}
		}
		if parties++; own.party != party || own.flows != n || n == 0 {
			return fmt.Errorf("party %d has %d flows, %d counted", party, n, own.flows)
		}
		queued += n
	}
	if chained != used || queued != used || parties != s.parties {
		return fmt.Errorf("%d flows, %d in chains, %d in queues, %d parties of %d", used, chained, queued, parties, s.parties)
	}
	return nil
}

// Used returns how many places the flows have, those too that have expired.
func (f *Filter) Used() int {
	n := 0
	for i := range f.flows.shards {
		n += f.flows.shards[i].used
	}
	return n
}

// Shards returns how many parts the table of flows has.
func (f *Filter) Shards() int { return len(f.flows.shards) }
