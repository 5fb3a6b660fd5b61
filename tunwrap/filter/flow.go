// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"time"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// How long a flow lives without a packet. Those of UDP and ICMP are what RFC 4787
// section 4.3 and RFC 5508 section 3.2 ask for at least, as far as an answer may be
// waited for; that of TCP is the least of RFC 5382 section 5 in round figures.
const (
	tcpUnanswered = int64(time.Minute)
	tcpAnswered   = int64(2 * time.Hour)
	tcpClosing    = int64(time.Minute)
	udpUnanswered = int64(time.Minute)
	udpAnswered   = int64(3 * time.Minute)
	echoLife      = int64(30 * time.Second)
	otherLife     = int64(10 * time.Minute)
)

// grace is how long after the first rule an answer passes without a flow, if the rules
// would allow the question: it may have been asked when everything passed.
const grace = int64(time.Minute)

// A flow is an entry of a table: a flow, or a datagram that arrives in fragments.
type flow struct {
	key  tuple
	seen int64 // last packet, as of shard.at
	life int64 // how long after it the flow ends, in nanoseconds

	rule       *rule  // that allowed it
	generation uint32 // of the ruleset with the rule

	// Places in the shard, 0 is none.
	next         uint32 // of the flows with this hash, or of the free places
	older, newer uint32 // of the owner's flows in this condition
	owner        uint32 // whose packet made the flow

	hash     uint32 // lower half
	end      uint32 // fragments: behind the last byte seen
	used     bool
	reversed bool // the first packet was the reverse of key
	answered bool // packets have passed in both directions
	closing  bool // of TCP: FIN or RST were seen
	partial  bool // fragments: some bytes before end were not seen
	denied   bool // fragments: for good
}

// begin makes a new flow that of t, which rule allowed.
func (fl *flow) begin(t *tuple, reversed bool, r *ruleset, rule *rule, flags uint8) {
	fl.reversed, fl.rule, fl.generation = reversed, rule, r.generation
	fl.closing = flags&(inner.FIN|inner.RST) != 0
	fl.setLife()
}

// setLife follows from the condition of the flow.
func (fl *flow) setLife() {
	switch {
	case fl.key.protocol == inner.TCP && fl.closing:
		fl.life = tcpClosing
	case fl.key.protocol == inner.TCP && fl.answered:
		fl.life = tcpAnswered
	case fl.key.protocol == inner.TCP:
		fl.life = tcpUnanswered
	case fl.key.protocol == inner.UDP && fl.answered:
		fl.life = udpAnswered
	case fl.key.protocol == inner.UDP:
		fl.life = udpUnanswered
	case fl.key.protocol == inner.ICMP, fl.key.protocol == inner.ICMPv6:
		fl.life = echoLife
	default:
		fl.life = otherLife
	}
}

// expired reports whether the flow has ended by now.
func (fl *flow) expired(now int64) bool { return now-fl.seen > fl.life }

// first returns the tuple of the packet that made the flow.
func (fl *flow) first() tuple {
	if fl.reversed {
		return fl.key.reverse()
	}
	return fl.key
}

// renew judges the flow at i by its first packet if it is of other rules than r. It
// reports whether the flow goes on.
func (s *shard) renew(i uint32, r *ruleset) bool {
	fl := &s.flows[i]
	if int32(fl.generation-r.generation) >= 0 { // newer: of a packet that overtook this one
		return true
	}
	first := fl.first()
	rule, reason := r.match(&first)
	if reason != Pass {
		s.remove(i)
		return false
	}
	fl.rule, fl.generation = rule, r.generation
	return true
}

// restarts reports whether a packet with these flags, in the direction that
// reversed says, has to be judged like the first: a SYN, unless it only repeats
// the one that made the flow.
func (s *shard) restarts(i uint32, reversed bool, flags uint8) bool {
	fl := &s.flows[i]
	return flags&inner.SYN != 0 && (fl.answered || fl.closing || fl.reversed != reversed)
}

// advance notes a packet of a known flow.
func (s *shard) advance(i uint32, reversed bool, flags uint8, now int64) {
	fl := &s.flows[i]
	fl.seen = now
	s.unlink(i)
	if reversed != fl.reversed {
		fl.answered = true
	}
	s.link(i)
	if flags&(inner.FIN|inner.RST) != 0 {
		fl.closing = true
	}
	fl.setLife()
}
