// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

const (
	// observedFor is how long an address counts that others saw.
	observedFor = 5 * time.Minute
	// maxObserved is how many of them are kept.
	maxObserved = 16
)

// An observation is an address of ours that a peer or relay sees.
type observation struct {
	observer Key
	relay    bool
	addr     netip.AddrPort
	at       moment
}

// ownAddrs are where the host may be reached.
type ownAddrs struct {
	local    []netip.AddrPort
	observed []observation // newest last
	list     []netip.AddrPort
	version  uint64 // of list
	next     moment // when an observation ends
}

func (o *ownAddrs) isLocal(a netip.AddrPort) bool { return slices.Contains(o.local, a) }

// setLocal replaces the addresses of interfaces. What others saw before the
// network changed counts no more, unless it is what they see still.
func (o *ownAddrs) setLocal(addrs []netip.AddrPort) {
	var local []netip.AddrPort
	for _, a := range addrs {
		if a = unmapped(a); a.IsValid() && !slices.Contains(local, a) {
			local = append(local, a)
		}
	}
	if !slices.Equal(o.local, local) {
		o.observed = nil
	}
	o.local, o.next = local, 0
}

// observe notes that somebody sees us at addr. One observer counts once for each
// address family.
func (o *ownAddrs) observe(at moment, by Key, relay bool, addr netip.AddrPort) {
	ip := addr.Addr()
	if !addr.IsValid() || addr.Port() == 0 || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return
	}
	known := false
	o.observed = slices.DeleteFunc(o.observed, func(n observation) bool {
		known = known || n.addr == addr
		return n.observer == by && n.relay == relay && n.addr.Addr().Is4() == ip.Is4()
	})
	if len(o.observed) >= maxObserved {
		o.observed = slices.Delete(o.observed, 0, 1)
	}
	o.observed = append(o.observed, observation{by, relay, addr, at})
	o.next = min(o.next, o.observed[0].at+observedFor)
	if !known {
		o.next = 0
		o.refresh(at)
	}
}

// refresh makes the list of what peers are told: what others see first, then
// interfaces.
func (o *ownAddrs) refresh(at moment) {
	if at < o.next {
		return
	}
	o.observed = slices.DeleteFunc(o.observed, func(n observation) bool { return at-n.at >= observedFor })
	o.next = never
	var list []netip.AddrPort
	add := func(a netip.AddrPort) {
		if len(list) < disco.MaxCandidates && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	for _, n := range o.observed {
		o.next = min(o.next, n.at+observedFor)
		add(n.addr)
	}
	slices.SortFunc(list, netip.AddrPort.Compare) // so that the order of answers changes nothing
	for _, a := range o.local {
		add(a)
	}
	if !slices.Equal(list, o.list) {
		o.list = list
		o.version++
	}
}

// mapping says what is between us and the others, for IPv4 or IPv6.
func (o *ownAddrs) mapping(v4 bool) string {
	var seen []netip.AddrPort
	n := 0
	for _, s := range o.observed {
		if s.addr.Addr().Is4() != v4 {
			continue
		}
		if o.isLocal(s.addr) {
			return "none"
		}
		n++
		if !slices.Contains(seen, s.addr) {
			seen = append(seen, s.addr)
		}
	}
	switch {
	case n < 2:
		return "unknown"
	case len(seen) == 1:
		return "easy"
	}
	return "hard"
}
