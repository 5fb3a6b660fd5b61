// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"net/netip"
	"slices"
)

// A PeerChange is a peer that both Configs have, with at least one difference.
type PeerChange struct {
	Old, New Peer

	// Which fields differ. AllowedIPs in another order are the same.
	Name, PresharedKey, AllowedIPs, Endpoint, PersistentKeepalive bool

	// AllowedIPsAdded and AllowedIPsRemoved are the ranges behind AllowedIPs. One
	// that moved from a peer to another is removed there and added here.
	AllowedIPsAdded, AllowedIPsRemoved []netip.Prefix
}

// Names returns the keys of the fields that differ.
func (c PeerChange) Names() []string {
	return named([]change{
		{"Name", c.Name},
		{"PresharedKey", c.PresharedKey},
		{"AllowedIPs", c.AllowedIPs},
		{"Endpoint", c.Endpoint},
		{"PersistentKeepalive", c.PersistentKeepalive},
	})
}

func byPublicKey(peers []Peer) map[Key]Peer {
	m := make(map[Key]Peer, len(peers))
	for _, p := range peers {
		m[p.PublicKey] = p
	}
	return m
}

func diffPeer(old, new Peer) (c PeerChange, differs bool) {
	c = PeerChange{
		Old: old, New: new,
		Name:                old.Name != new.Name,
		PresharedKey:        old.PresharedKey != new.PresharedKey,
		Endpoint:            !old.Endpoint.equal(new.Endpoint),
		PersistentKeepalive: old.PersistentKeepalive != new.PersistentKeepalive,
		AllowedIPsAdded:     without(new.AllowedIPs, old.AllowedIPs),
		AllowedIPsRemoved:   without(old.AllowedIPs, new.AllowedIPs),
	}
	c.AllowedIPs = len(c.AllowedIPsAdded)+len(c.AllowedIPsRemoved) > 0
	return c, c.Name || c.PresharedKey || c.AllowedIPs || c.Endpoint || c.PersistentKeepalive
}

// without returns the elements of a that are not in b, in the order of a.
func without(a, b []netip.Prefix) []netip.Prefix {
	if slices.Equal(a, b) {
		return nil
	}
	in := make(map[netip.Prefix]bool, len(b))
	for _, p := range b {
		in[p] = true
	}
	var rest []netip.Prefix
	for _, p := range a {
		if !in[p] {
			rest = append(rest, p)
		}
	}
	return rest
}
