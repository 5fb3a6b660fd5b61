// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

// Stats are counters since New, and what is in the tables.
type Stats struct {
	Rules []RuleStats // in their order
	Flows int         // that are known now
	// MaxFlows is how many there can be.
	MaxFlows  int
	Fragments int // datagrams that are followed now

	Denied      [Reasons]uint64 // packets by [Reason]
	DeniedBytes uint64
	Evicted     uint64 // live flows that made room for others
	TableFull   uint64 // packets that passed but found no room for their flow
}

// RuleStats is what one rule has matched: for Allow, the packets of both directions of the
// flows that it made. A rule keeps its numbers over SetRules when its Text stays.
type RuleStats struct {
	Text           string
	Line           int
	Packets, Bytes uint64
}

// Stats returns the counters. It locks a shard of the flows at a time, to remove
// those that have expired.
func (f *Filter) Stats() Stats {
	s := Stats{MaxFlows: f.flows.max, Evicted: f.flows.evicted.Load(), TableFull: f.full.Load()}
	now := f.now()
	s.Flows, s.Fragments = f.flows.count(now), f.fragments.count(now)
	for reason := range f.denied {
		packets, bytes := f.denied[reason].sum()
		s.Denied[reason] = packets
		s.DeniedBytes += bytes
	}
	if r := f.rules.Load(); r != nil {
		s.Rules = make([]RuleStats, len(r.list))
		for i := range r.list {
			rule := &r.list[i]
			packets, bytes := rule.hits.sum()
			s.Rules[i] = RuleStats{Text: rule.text, Line: rule.line, Packets: packets, Bytes: bytes}
		}
	}
	return s
}
