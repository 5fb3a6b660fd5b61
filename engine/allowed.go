// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net/netip"
	"slices"

	"github.com/tunrouter/tunrouter/peers"
)

// allowedIPs mirrors which peer owns which prefix in the device. A prefix has
// one owner: the peer that claimed it last. The mirror is what lets a change be
// applied as a difference, so that a prefix that stays is never absent for a
// packet in between.
type allowedIPs struct {
	owner  map[netip.Prefix]peers.Key
	byPeer map[peers.Key]map[netip.Prefix]struct{}
}

func newAllowedIPs() *allowedIPs {
	return &allowedIPs{
		owner:  make(map[netip.Prefix]peers.Key),
		byPeer: make(map[peers.Key]map[netip.Prefix]struct{}),
	}
}

// claim gives p to the peer and reports whether that changed its owner.
func (a *allowedIPs) claim(p netip.Prefix, key peers.Key) bool {
	old, owned := a.owner[p]
	if owned && old == key {
		return false
	}
	if owned {
		a.release(p, old)
	}
	a.owner[p] = key
	set := a.byPeer[key]
	if set == nil {
		set = make(map[netip.Prefix]struct{})
		a.byPeer[key] = set
	}
	set[p] = struct{}{}
	return true
}

// release takes p from the peer, if it owns it, and reports whether it did.
func (a *allowedIPs) release(p netip.Prefix, key peers.Key) bool {
	if old, ok := a.owner[p]; !ok || old != key {
		return false
	}
	delete(a.owner, p)
	delete(a.byPeer[key], p)
	if len(a.byPeer[key]) == 0 {
		delete(a.byPeer, key)
	}
	return true
}

// removePeer takes everything from the peer.
func (a *allowedIPs) removePeer(key peers.Key) {
	for p := range a.byPeer[key] {
		delete(a.owner, p)
	}
	delete(a.byPeer, key)
}

// of returns what the peer owns, in a stable order.
func (a *allowedIPs) of(key peers.Key) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(a.byPeer[key]))
	for p := range a.byPeer[key] {
		out = append(out, p)
	}
	slices.SortFunc(out, comparePrefixes)
	return out
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
