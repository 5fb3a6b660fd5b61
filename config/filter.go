// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Filter is the [Filter] section: which packets may pass between the host and the
// peers. Without a rule all of them may; with any, those that no rule allows may not.
type Filter struct {
	Names []FilterName
	Rules []FilterRule // the first that matches decides
}

// A FilterName is a name for one or several peers, to be used in rules.
type FilterName struct {
	Name string
	Keys []Key // public keys of peers, each once
	// Line is where it stands in the file; 0 when it comes from nowhere. It is no part
	// of the configuration.
	Line int
}

// A FilterRule matches the packets that fulfil all of its conditions. The zero
// FilterRule allows everything.
type FilterRule struct {
	Deny     bool
	From, To FilterEnd
	// Protocol is the number of the transport protocol; 0 is all, 1 is ICMP of
	// either family.
	Protocol uint8
	// SourcePorts and Ports, those of the destination, are for TCP (6) and UDP (17)
	// only; none is all.
	SourcePorts, Ports []PortRange

	// Text is the line as it was written, for messages and counters; Line is where.
	// They are no part of the configuration.
	Text string
	Line int
}

// A FilterEnd is one end of a rule: any of what it names. The zero FilterEnd is everything.
type FilterEnd struct {
	Host     bool           // this host, and what it routes to
	Peers    bool           // every peer
	Names    []string       // of [Filter.Names]
	Keys     []Key          // peers that are named by their public keys
	Prefixes []netip.Prefix // addresses, host bits cleared
}

// A PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// IsZero reports whether e takes everything.
func (e FilterEnd) IsZero() bool {
	return !e.Host && !e.Peers && len(e.Names)+len(e.Keys)+len(e.Prefixes) == 0
}

// Keys returns the public keys of the peers that e names, by a name or directly,
// each once.
func (f *Filter) Keys(e FilterEnd) []Key {
	var keys []Key
	add := func(more []Key) {
		for _, k := range more {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	for _, name := range e.Names {
		if n := f.named(name); n != nil {
			add(n.Keys)
		}
	}
	add(e.Keys)
	return keys
}

// named returns the definition of name, or nil.
func (f *Filter) named(name string) *FilterName {
	for i := range f.Names {
		if sameName(f.Names[i].Name, name) {
			return &f.Names[i]
		}
	}
	return nil
}

// Words of the rules.
const (
	wordAny, wordHost, wordPeers                          = "any", "host", "peers"
	wordFrom, wordTo, wordProto, wordSourcePort, wordPort = "from", "to", "proto", "sport", "port"
)

// Protocols that have a word.
const (
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
)

// String returns the rule in the form of configuration files, without Allow or Deny:
//
//	from laptop to host,10.0.0.0/8 proto tcp port 22,8000-8080
func (r FilterRule) String() string {
	var words []string
	if !r.From.IsZero() {
		words = append(words, wordFrom, r.From.String())
	}
	if !r.To.IsZero() {
		words = append(words, wordTo, r.To.String())
	}
	switch r.Protocol {
	case 0:
	case protoICMP:
		words = append(words, wordProto, "icmp")
	case protoTCP:
		words = append(words, wordProto, "tcp")
	case protoUDP:
		words = append(words, wordProto, "udp")
	default:
		words = append(words, wordProto, strconv.Itoa(int(r.Protocol)))
	}
	if len(r.SourcePorts) > 0 {
		words = append(words, wordSourcePort, joinPorts(r.SourcePorts))
	}
	if len(r.Ports) > 0 {
		words = append(words, wordPort, joinPorts(r.Ports))
	}
	if len(words) == 0 {
		return wordAny
	}
	return strings.Join(words, " ")
}

// String returns the end in the form of configuration files.
func (e FilterEnd) String() string {
	var items []string
	if e.Host {
		items = append(items, wordHost)
	}
	if e.Peers {
		items = append(items, wordPeers)
	}
	items = append(items, e.Names...)
	for _, k := range e.Keys {
		items = append(items, k.String())
	}
	for _, p := range e.Prefixes {
		items = append(items, p.String())
	}
	if len(items) == 0 {
		return wordAny
	}
	return strings.Join(items, ",")
}

// String returns the range as FIRST-LAST, or as one number.
func (p PortRange) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return strconv.Itoa(int(p.First)) + "-" + strconv.Itoa(int(p.Last))
}

func joinPorts(ports []PortRange) string {
	items := make([]string, len(ports))
	for i, p := range ports {
		items[i] = p.String()
	}
	return strings.Join(items, ",")
}

// equal reports whether f and other are the same rules.
func (f *Filter) equal(other *Filter) bool {
	return slices.EqualFunc(f.Names, other.Names, func(a, b FilterName) bool {
		return a.Name == b.Name && slices.Equal(a.Keys, b.Keys)
	}) && slices.EqualFunc(f.Rules, other.Rules, func(a, b FilterRule) bool {
		return a.Deny == b.Deny && a.Protocol == b.Protocol && a.From.equal(&b.From) && a.To.equal(&b.To) &&
			slices.Equal(a.SourcePorts, b.SourcePorts) && slices.Equal(a.Ports, b.Ports)
	})
}

func (e *FilterEnd) equal(other *FilterEnd) bool {
	return e.Host == other.Host && e.Peers == other.Peers && slices.Equal(e.Names, other.Names) &&
		slices.Equal(e.Keys, other.Keys) && slices.Equal(e.Prefixes, other.Prefixes)
}
