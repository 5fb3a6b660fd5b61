// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
)

// A Peer is one peer of the device.
type Peer struct {
	// Party names the peer to the filter and in [Stats]. It stays that of one peer
	// for the life of the Device and is never [filter.Host].
	Party filter.Party
	// AllowedIPs are the peer's, each claimed by no other.
	AllowedIPs []netip.Prefix
}

// Routes say where addresses are.
type Routes struct {
	Peers []Peer
	// Addresses are the tunnel's own. The first of each family is the source of
	// ICMP errors.
	Addresses []netip.Addr
	// Local are other addresses of the host, Networks what it reaches otherwise than
	// through the tunnel, without default routes.
	Local, Networks []netip.Prefix
	// HostDefault4 and HostDefault6 say that a default route among the AllowedIPs is
	// not the host's way to the rest of the world: packets that match nothing else
	// go to the host, which knows a better one.
	HostDefault4, HostDefault6 bool
}

// An entry is what the table says of an address: the lane of a peer, or nil for the
// host.
type entry struct {
	lane   *lane
	weak   bool // by a default route only
	behind bool // weak, and the host has a better way there
}

func (e entry) party() filter.Party {
	if e.lane == nil {
		return filter.Host
	}
	return e.lane.party
}

// A view is what WriteTo and Read go by. It is never changed, only replaced.
type view struct {
	forwarding Forwarding
	table      *bart.Table[entry]
	addr4      netip.Addr // source of ICMP errors
	addr6      netip.Addr
}

// newTable makes the table of routes, with the lanes of the peers.
func newTable(r *Routes, laneOf func(filter.Party) *lane) *bart.Table[entry] {
	t := new(bart.Table[entry])
	for _, p := range r.Networks {
		if p.Bits() > 0 {
			t.Insert(p, entry{})
		}
	}
	for _, peer := range r.Peers {
		l := laneOf(peer.Party)
		for _, p := range peer.AllowedIPs {
			e := entry{lane: l, weak: p.Bits() == 0}
			e.behind = e.weak && (p.Addr().Is4() && r.HostDefault4 || p.Addr().Is6() && r.HostDefault6)
			t.Insert(p, e)
		}
	}
	for _, p := range r.Local {
		t.Insert(p, entry{})
	}
	for _, a := range r.Addresses {
		if a = a.WithZone(""); a.IsValid() {
			t.Insert(netip.PrefixFrom(a, a.BitLen()), entry{})
		}
	}
	return t
}

// firstOf returns the first address of each family.
func firstOf(addrs []netip.Addr) (addr4, addr6 netip.Addr) {
	for _, a := range addrs {
		switch {
		case a.Is4() && !addr4.IsValid():
			addr4 = a
		case a.Is6() && !addr6.IsValid() && !a.IsLinkLocalUnicast():
			addr6 = a
		}
	}
	return addr4, addr6
}

// routable reports whether a router may pass on packets with this address as source
// or destination: not for what has a meaning on one link or one host only (RFC 1812
// section 5.3.7, RFC 4291 section 2.5).
func routable(a netip.Addr) bool {
	if a.IsMulticast() || a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() {
		return false
	}
	if a.Is4() {
		b := a.As4()
		return b[0] != 0 && b[0] < 224 // this network, reserved and broadcast
	}
	return true
}
