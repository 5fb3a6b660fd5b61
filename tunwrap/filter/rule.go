// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"fmt"
	"net/netip"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A Party is who is at one end of a packet: [Host], or a peer by a number that the
// caller gave it.
type Party uint32

// Host is this host, or what it routes to.
const Host Party = 0

// An Action is what a rule does with what it matches.
type Action uint8

const (
	// Allow lets the packet pass, and both directions of its flow.
	Allow Action = iota
	// Deny drops the packet.
	Deny
)

// String returns allow or deny.
func (a Action) String() string {
	switch a {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// An End says which parties or addresses one end of a rule takes: any of them
// suffices. The zero value takes everything.
type End struct {
	Host     bool           // the host
	Peers    bool           // every peer
	Parties  []Party        // these
	Prefixes []netip.Prefix // addresses of whomever
}

// A PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// A Rule matches the packets that fulfil all of its conditions. The zero Rule
// allows everything.
type Rule struct {
	Action   Action
	From, To End
	// Protocol is the number of the transport protocol; 0 is all. inner.ICMP means ICMP of
	// either family, inner.ICMPv6 only that of IPv6.
	Protocol uint8
	// SourcePorts and Ports, those of the destination, may be given for inner.TCP and
	// inner.UDP; none is all.
	SourcePorts, Ports []PortRange

	Text string // as the operator wrote it, for counters
	Line int    // where
}

// validate returns what is wrong with the rule.
func (r *Rule) validate() error {
	if r.Action > Deny {
		return fmt.Errorf("unknown action %d", r.Action)
	}
	for _, end := range []*End{&r.From, &r.To} {
		for _, p := range end.Prefixes {
			switch {
			case !p.IsValid():
				return fmt.Errorf("invalid prefix %v", p)
			case p.Addr().Is4In6():
				return fmt.Errorf("prefix %v is IPv4 in IPv6 form, which no packet has", p)
			}
		}
	}
	ranges := len(r.SourcePorts) + len(r.Ports)
	if ranges > 0 && r.Protocol != inner.TCP && r.Protocol != inner.UDP {
		return fmt.Errorf("ports with protocol %d: only TCP (%d) and UDP (%d) have them", r.Protocol, inner.TCP, inner.UDP)
	}
	for _, list := range [][]PortRange{r.SourcePorts, r.Ports} {
		for _, p := range list {
			if p.First > p.Last {
				return fmt.Errorf("port range %d-%d: the first is above the last", p.First, p.Last)
			}
		}
	}
	return nil
}
