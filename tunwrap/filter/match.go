// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A ruleset is the rules in the form in which they are applied. It does not change.
type ruleset struct {
	generation uint32 // counts up with each SetRules
	list       []rule
	grace      int64 // until when answers to what began without rules pass, in the Filter's time
}

// A rule is a [Rule] that is valid.
type rule struct {
	from, to           end
	sourcePorts, ports []PortRange
	protocol           uint8
	deny               bool
	text               string
	line               int
	hits               *striped
}

// An end is an [End].
type end struct {
	any, host, peers bool
	parties          []Party // sorted
	prefixes         []prefix
}

// A prefix is a netip.Prefix as bits to compare.
type prefix struct {
	addr, mask address
	v6         bool
}

// compile checks the rules. The counters of before go on in rules of the same text.
func compile(rules []Rule, before *ruleset, generation uint32) (*ruleset, error) {
	r := &ruleset{generation: generation, list: make([]rule, len(rules))}
	kept := map[string][]*striped{}
	if before != nil {
		for i := range before.list {
			if old := &before.list[i]; old.text != "" {
				kept[old.text] = append(kept[old.text], old.hits)
			}
		}
	}
	for i := range rules {
		in := &rules[i]
		if err := in.validate(); err != nil {
			return nil, fmt.Errorf("filter rule %d %q: %w", i+1, in.Text, err)
		}
		r.list[i] = rule{
			from: compileEnd(&in.From), to: compileEnd(&in.To),
			sourcePorts: slices.Clone(in.SourcePorts), ports: slices.Clone(in.Ports),
			protocol: in.Protocol, deny: in.Action == Deny, text: in.Text, line: in.Line,
		}
		if old := kept[in.Text]; len(old) > 0 {
			r.list[i].hits, kept[in.Text] = old[0], old[1:]
		} else {
			r.list[i].hits = new(striped)
		}
	}
	return r, nil
}

func compileEnd(in *End) end {
	e := end{host: in.Host, peers: in.Peers, parties: slices.Clone(in.Parties)}
	slices.Sort(e.parties)
	for _, p := range in.Prefixes {
		e.prefixes = append(e.prefixes, compilePrefix(p))
	}
	e.any = !e.host && !e.peers && len(e.parties)+len(e.prefixes) == 0
	return e
}

func compilePrefix(in netip.Prefix) prefix {
	host := in.Addr().BitLen() - in.Bits() // bits that do not count
	p := prefix{v6: in.Addr().Is6(), mask: address{^uint64(0), ^uint64(0) << min(host, 64)}}
	if host > 64 {
		p.mask = address{^uint64(0) << (host - 64), 0}
	}
	if p.v6 {
		b := in.Addr().As16()
		p.addr = address{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
	} else {
		b := in.Addr().As4()
		p.addr = address{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	p.addr[0] &= p.mask[0]
	p.addr[1] &= p.mask[1]
	return p
}

// match returns the rule that decides about the first packet of a flow, and what it
// says; nil for the default.
func (r *ruleset) match(t *tuple) (*rule, Reason) {
	for i := range r.list {
		if rule := &r.list[i]; rule.matches(t) {
			if rule.deny {
				return rule, ByRule
			}
			return rule, Pass
		}
	}
	return nil, ByDefault
}

func (r *rule) matches(t *tuple) bool {
	if r.protocol != 0 && r.protocol != t.protocol && !(r.protocol == inner.ICMP && t.protocol == inner.ICMPv6 && t.v6) {
		return false
	}
	if r.protocol == inner.ICMP && t.protocol == inner.ICMP && t.v6 {
		return false // an unknown protocol of IPv6
	}
	return inRanges(r.ports, t.dstPort) && inRanges(r.sourcePorts, t.srcPort) &&
		r.to.takes(t.to, &t.dst, t.v6) && r.from.takes(t.from, &t.src, t.v6)
}

func inRanges(ranges []PortRange, port uint16) bool {
	if len(ranges) == 0 {
		return true
	}
	for _, r := range ranges {
		if r.First <= port && port <= r.Last {
			return true
		}
	}
	return false
}

func (e *end) takes(party Party, addr *address, v6 bool) bool {
	if e.any || e.host && party == Host || e.peers && party != Host {
		return true
	}
	if len(e.parties) > 0 {
		if _, found := slices.BinarySearch(e.parties, party); found {
			return true
		}
	}
	for i := range e.prefixes {
		p := &e.prefixes[i]
		if p.v6 == v6 && addr[0]&p.mask[0] == p.addr[0] && addr[1]&p.mask[1] == p.addr[1] {
			return true
		}
	}
	return false
}
