// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/tunrouter/tunrouter/peers"
)

// allowedIPs mirrors which peer owns which prefix in the device. A prefix has
// one owner: the peer that claimed it last. The mirror is what lets a change be
// applied as a difference, so that a prefix that stays is never absent for a
// packet in between.
//
// It is changed by one goroutine at a time, see Engine.mu; ownerOf may be called by
// any meanwhile.
type allowedIPs struct {
	writing sync.RWMutex // held for changes of owner and lengths, and by ownerOf
	owner   map[netip.Prefix]peers.Key
	// lengths says how many prefixes of owner have so many bits, by family.
	lengths4 [32 + 1]int
	lengths6 [128 + 1]int
	byPeer   map[peers.Key]map[netip.Prefix]struct{}
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
	a.writing.Lock()
	a.owner[p] = key
	*a.length(p)++
	a.writing.Unlock()
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
	a.writing.Lock()
	delete(a.owner, p)
	*a.length(p)--
	a.writing.Unlock()
	delete(a.byPeer[key], p)
	if len(a.byPeer[key]) == 0 {
		delete(a.byPeer, key)
	}
	return true
}

// removePeer takes everything from the peer.
func (a *allowedIPs) removePeer(key peers.Key) {
	a.writing.Lock()
	for p := range a.byPeer[key] {
		delete(a.owner, p)
		*a.length(p)--
	}
	a.writing.Unlock()
	delete(a.byPeer, key)
}

// ownerOf returns the peer that packets from addr come from: the one with the longest
// prefix around it. It is for what happens once per flow, not per packet: it asks
// for each length that there is.
func (a *allowedIPs) ownerOf(addr netip.Addr) (peers.Key, bool) {
	return a.find(addr.Unmap())
}

func (a *allowedIPs) find(addr netip.Addr) (peers.Key, bool) {
	if !addr.IsValid() {
		return peers.Key{}, false
	}
	a.writing.RLock()
	defer a.writing.RUnlock()
	for bits := addr.BitLen(); bits >= 0; bits-- {
		if *a.length(netip.PrefixFrom(addr, bits)) == 0 {
			continue
		}
		p, err := addr.Prefix(bits)
		if err != nil {
			break
		}
		if key, ok := a.owner[p]; ok {
			return key, true
		}
	}
	return peers.Key{}, false
}

// covers reports whether a peer has the address.
func (a *allowedIPs) covers(addr netip.Addr) bool {
	_, ok := a.find(addr)
	return ok
}

// length returns the number of prefixes that are as long as p.
func (a *allowedIPs) length(p netip.Prefix) *int {
	if p.Addr().Is4() {
		return &a.lengths4[p.Bits()]
	}
	return &a.lengths6[p.Bits()]
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
