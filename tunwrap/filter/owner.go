// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

// owners are the parties that have begun the flows of a shard, so that each can be held to
// its share.
type owners struct {
	list  []owner
	index map[Party]uint32
	unown uint32 // first free place of list, by next
	// parties is how many are not free.
	parties int
}

// An owner is a party with its flows.
type owner struct {
	party Party
	next  uint32 // of the free ones, plus one
	flows int
	// Without and with an answer, ordered by their last packet.
	queues [2]queue
}

// A queue is a list of flows through their older and newer.
type queue struct{ oldest, newest uint32 }

const (
	unanswered = iota
	answered
)

// join returns the owner that is party, made if need be, with one flow more.
func (o *owners) join(party Party) uint32 {
	i, known := o.index[party]
	if !known {
		if o.index == nil {
			o.index = map[Party]uint32{}
		}
		if o.unown != 0 {
			i = o.unown - 1
			o.unown = o.list[i].next
		} else {
			i = uint32(len(o.list))
			o.list = append(o.list, owner{})
		}
		o.list[i] = owner{party: party}
		o.index[party] = i
		o.parties++
	}
	o.list[i].flows++
	return i
}

// leave takes a flow from the owner at i, which has it in no queue any more.
func (o *owners) leave(i uint32) {
	own := &o.list[i]
	if own.flows--; own.flows > 0 {
		return
	}
	delete(o.index, own.party)
	own.next, o.unown = o.unown, i+1
	o.parties--
}

// queue returns the one that the flow belongs to.
func (s *shard) queue(fl *flow) *queue {
	if fl.answered {
		return &s.list[fl.owner].queues[answered]
	}
	return &s.list[fl.owner].queues[unanswered]
}

// link puts the flow at i behind all others of its queue.
func (s *shard) link(i uint32) {
	fl := &s.flows[i]
	q := s.queue(fl)
	fl.older, fl.newer = q.newest, 0
	if q.newest != 0 {
		s.flows[q.newest].newer = i
	} else {
		q.oldest = i
	}
	q.newest = i
}

// unlink takes the flow at i out of its queue. Its condition must not have changed since link.
func (s *shard) unlink(i uint32) {
	fl := &s.flows[i]
	q := s.queue(fl)
	if fl.older != 0 {
		s.flows[fl.older].newer = fl.newer
	} else {
		q.oldest = fl.newer
	}
	if fl.newer != 0 {
		s.flows[fl.newer].older = fl.older
	} else {
		q.newest = fl.older
	}
}

// victim returns the place of the flow that has to go in a full shard for a new one
// of party, or 0 if the new one cannot be. A party with its share or more loses
// its own longest idle flow without an answer. One below takes from the largest: what
// has no answer, then its own of that kind, so that packets to nowhere never cost
// others a flow that works, and else what the largest has not used for longest.
func (s *shard) victim(party Party, capacity int) uint32 {
	i, known := s.index[party]
	parties := s.parties
	own := uint32(0)
	if known {
		own = s.list[i].queues[unanswered].oldest
		if s.list[i].flows*parties >= capacity {
			return own
		}
	}
	largest := &s.list[0]
	for i := range s.list {
		if s.list[i].flows > largest.flows {
			largest = &s.list[i]
		}
	}
	switch {
	case largest.queues[unanswered].oldest != 0:
		return largest.queues[unanswered].oldest
	case own != 0:
		return own
	}
	return largest.queues[answered].oldest
}
