// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// Options are what a Filter may be told beside its rules. The zero value is the default.
type Options struct {
	// MaxFlows is how many flows are kept at most, up to 16,777,216, at about 150
	// bytes each; 0 is 65,536.
	MaxFlows int
	// Now is the clock; nil is time.Now. It is read once per [Batch].
	Now func() time.Time
}

// defaultMaxFlows is what a small Linux router tracks (nf_conntrack_max of 1 GiB).
const defaultMaxFlows = 65536

// maxFragmented is how many datagrams are followed whose fragments arrive.
const maxFragmented = 1024

// A Filter judges packets. Make one with [New].
type Filter struct {
	clock func() time.Time
	start time.Time

	rules      atomic.Pointer[ruleset] // nil without a rule
	mu         sync.Mutex              // one SetRules at a time
	generation uint32                  // guarded by mu

	flows, fragments table
	batches          atomic.Uint32 // for their stripes
	full             atomic.Uint64
	denied           [Reasons]striped
}

// New returns a Filter with these rules. The error names the rule that is not valid.
func New(rules []Rule, o *Options) (*Filter, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.MaxFlows <= 0 {
		opts.MaxFlows = defaultMaxFlows
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	f := &Filter{clock: opts.Now, start: opts.Now()}
	secret := seed{rand.Uint64(), rand.Uint64(), rand.Uint64()}
	f.flows.init(min(opts.MaxFlows, 1<<24), secret)
	f.fragments.init(maxFragmented, secret)
	if err := f.SetRules(rules); err != nil {
		return nil, err
	}
	if r := f.rules.Load(); r != nil {
		r.grace = 0 // nothing has passed before
	}
	return f, nil
}

// SetRules replaces the rules; with an error the old ones stay. Flows are judged anew at
// their next packet, as if it were their first: those that the new rules do not
// allow end. It keeps nothing of the slices.
func (f *Filter) SetRules(rules []Rule) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := compile(rules, f.rules.Load(), f.generation+1)
	if err != nil {
		return err
	}
	f.generation++
	switch before := f.rules.Load(); {
	case len(rules) == 0:
		r = nil
	case before == nil:
		r.grace = f.now() + grace
	default:
		r.grace = before.grace
	}
	f.rules.Store(r)
	return nil
}

// Enabled reports whether there is any rule. Without one everything passes.
func (f *Filter) Enabled() bool { return f.rules.Load() != nil }

// now returns the time in nanoseconds since New.
func (f *Filter) now() int64 { return int64(f.clock().Sub(f.start)) }

// Verdict judges a packet that p was parsed from, without a problem. from and to are
// the parties that sent it and will get it. It borrows all it is given for the call.
func (f *Filter) Verdict(b *Batch, p *inner.Packet, pkt []byte, from, to Party) Reason {
	r := f.rules.Load()
	if r == nil {
		return Pass
	}
	if b.rules != r {
		b.begin(f, r)
	}
	var t tuple
	if !t.read(p, pkt, from, to) {
		return f.count(b, nil, Transport, len(pkt))
	}
	// A fragment that is the whole datagram is none (RFC 6946).
	if p.Fragment && (p.Offset > 0 || p.More) {
		return f.fragment(b, p, pkt, &t)
	}
	rule, reason := f.packet(b, p, pkt, &t)
	return f.count(b, rule, reason, len(pkt))
}

// packet judges a packet with its transport header.
func (f *Filter) packet(b *Batch, p *inner.Packet, pkt []byte, t *tuple) (*rule, Reason) {
	if p.Transport == 0 {
		return nil, Transport
	}
	flags := uint8(0)
	switch p.Protocol {
	case inner.TCP:
		flags = p.Flags & (inner.SYN | inner.FIN | inner.RST)
		if p.Flags&inner.ACK != 0 {
			flags &^= inner.SYN // begins nothing
		}
	case inner.ICMP, inner.ICMPv6:
		if !p.IsEcho() {
			return f.message(b, p, pkt, t)
		}
	}
	e := b.entry(t)
	if flags == 0 && e.holds(b, t) {
		return e.rule, e.reason
	}
	rule, reason := f.flow(b, t, flags)
	if flags == 0 || reason == Pass { // a SYN that is denied says nothing about the flow
		*e = entry{tuple: *t, rule: rule, epoch: b.epoch, reason: reason}
	}
	return rule, reason
}

// flow finds or makes the flow of t. flags are those of TCP that change it.
func (f *Filter) flow(b *Batch, t *tuple, flags uint8) (*rule, Reason) {
	key, reversed := t.canonical()
	answer := t.reverse()
	hash := f.flows.seed.hash(&key)
	s := f.flows.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.at(b.now)
	i := s.find(&key, hash, now)
	if i != 0 && !s.renew(i, b.rules) {
		i = 0
	}
	if i != 0 && !s.restarts(i, reversed, flags) {
		s.advance(i, reversed, flags, now)
		return s.flows[i].rule, Pass
	}
	rule, reason := b.rules.match(t)
	first := *t
	if reason != Pass && i == 0 && b.now < b.rules.grace && flags&inner.SYN == 0 && !t.asks {
		// Perhaps an answer, in a flow that began when there was no rule.
		if question, asked := b.rules.match(&answer); asked == Pass {
			rule, reason, first, reversed = question, Pass, answer, !reversed
		}
	}
	if reason != Pass || !first.begins() {
		return rule, reason
	}
	if i != 0 {
		s.remove(i)
	}
	if i = s.insert(&key, hash, first.from, now); i == 0 {
		f.full.Add(1)
		return rule, Pass
	}
	s.flows[i].begin(&first, reversed, b.rules, rule, flags)
	// An answer that was denied before may pass from now on.
	b.forget(&answer)
	return rule, Pass
}

// count adds a packet to the counters of its rule, if one decided, and of the
// reason. It returns the reason.
func (f *Filter) count(b *Batch, rule *rule, reason Reason, bytes int) Reason {
	if rule != nil {
		rule.hits.add(b.stripe, bytes)
	}
	if reason != Pass {
		f.denied[reason].add(b.stripe, bytes)
	}
	return reason
}
