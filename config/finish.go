// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// finish checks what a single line cannot show and, in a file without mistakes, turns
// the [Peer] sections into peers.
func (p *parser) finish() {
	p.in(p.wgFile, func() {
		p.checkInterface()
		for _, s := range p.peers {
			if s.given["PublicKey"] == 0 {
				p.problem(s.peer.Line, "PublicKey", "write PublicKey = KEY below this [Peer]", "missing")
			}
		}
	})
	p.finishServices()
	p.finishMode()
	p.in(p.wgFile, p.finishAlive)
	p.finishMetrics()
	if len(p.problems) == 0 {
		p.in(p.wgFile, func() {
			p.mergePeers()
			p.defaultRanges()
		})
	}
	p.finishRelays()
	p.finishFilter()
	p.finishRelayServer()
}

// defaultRanges gives the only peer of a file with sections of [Proxy] everything, as
// wireproxy does, when it says nothing of AllowedIPs.
func (p *parser) defaultRanges() {
	if len(p.services) == 0 || len(p.peers) != 1 || len(p.cfg.Peers) != 1 || p.peers[0].given["AllowedIPs"] > 0 {
		return
	}
	peer := &p.cfg.Peers[0]
	peer.AllowedIPs = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	p.warning(peer.Line, "AllowedIPs", "write AllowedIPs = "+joinList(peer.AllowedIPs)+", or fewer", "missing; the only peer gets everything")
}

// checkInterface checks the keys of [Interface] against each other.
func (p *parser) checkInterface() {
	i := &p.cfg.Interface
	if p.interfaceGiven["PrivateKey"] == 0 {
		const missing = "missing"
		switch {
		case p.unknownSection: // it may be in there, under a mistyped name
		case len(i.PreUp)+len(i.PostUp) > 0:
			p.warning(p.interfaceLine, "PrivateKey", "until a hook sets it no peer can be reached", missing)
		default:
			p.problem(p.interfaceLine, "PrivateKey", "make a key with router genkey and write PrivateKey = KEY below [Interface]", missing)
		}
	}
	if line := p.interfaceGiven["MTU"]; i.MTU > 0 && i.MTU < minMTU6 && slices.ContainsFunc(i.Addresses, is6) {
		p.problem(line, "MTU", fmt.Sprintf("write at least %d, or remove the IPv6 addresses", minMTU6),
			fmt.Sprintf("%d is too small for IPv6", i.MTU))
	}
}

func is6(p netip.Prefix) bool { return p.Addr().Is6() }

// A merged is a peer and the claims of its sections.
type merged struct {
	peer   Peer
	claims []claim
}

// An owner is who holds a range, and the line that says so.
type owner struct {
	peer *merged
	line int
}

// mergePeers applies the [Peer] sections in order, as wg setconf would, and keeps
// the state at the end. The device owns each range once: the last claim moves it.
func (p *parser) mergePeers() {
	self := p.self()
	var peers []*merged
	byKey := make(map[Key]*merged, len(p.peers))
	owners := map[netip.Prefix]owner{}
	for _, s := range p.peers {
		if s.peer.PublicKey == self {
			p.warning(s.given["PublicKey"], "PublicKey", "remove this [Peer], or correct the key",
				"belongs to the PrivateKey of this very router; the peer is left out")
			continue
		}
		m := byKey[s.peer.PublicKey]
		if m == nil {
			m = &merged{peer: s.peer}
			byKey[s.peer.PublicKey] = m
			peers = append(peers, m)
		} else {
			p.mergeSection(m, s, owners)
		}
		p.claimRanges(m, s, owners)
	}
	for _, m := range peers {
		for _, c := range m.claims {
			if owners[c.prefix].peer == m {
				m.peer.AllowedIPs = append(m.peer.AllowedIPs, c.prefix)
			}
		}
		p.cfg.Peers = append(p.cfg.Peers, m.peer)
	}
}

// mergeSection applies s to a peer that an earlier section has made.
func (p *parser) mergeSection(m *merged, s *peerSection, owners map[netip.Prefix]owner) {
	if s.peer.Name != "" {
		m.peer.Name = s.peer.Name
	}
	message := fmt.Sprintf("same peer as in %s; this section replaces its AllowedIPs", p.place(m.peer.Line))
	var replaced []string
	for _, k := range peerKeys()[1:] {
		if s.given[k.name] == 0 || k.repeats {
			continue
		}
		replaced = append(replaced, k.name)
		switch k.name {
		case "PresharedKey":
			m.peer.PresharedKey = s.peer.PresharedKey
		case "Endpoint":
			m.peer.Endpoint = s.peer.Endpoint
		case "PersistentKeepalive":
			m.peer.PersistentKeepalive = s.peer.PersistentKeepalive
		}
	}
	if len(replaced) > 0 {
		message += ", " + strings.Join(replaced, ", ")
	}
	p.warning(s.given["PublicKey"], "PublicKey", "merge the two sections, or correct the key", message)
	for _, c := range m.claims {
		if owners[c.prefix].peer == m {
			delete(owners, c.prefix)
		}
	}
	m.claims = nil
}

// claimRanges gives m the ranges of s.
func (p *parser) claimRanges(m *merged, s *peerSection, owners map[netip.Prefix]owner) {
	for _, c := range s.claims {
		before, taken := owners[c.prefix]
		switch {
		case taken && before.peer == m:
			p.warning(c.line, "AllowedIPs", "remove one of the two",
				fmt.Sprintf("%s is also in %s", c.prefix, p.place(before.line)))
			continue // it keeps its place
		case taken:
			p.warning(c.line, "AllowedIPs", "remove one of the two",
				fmt.Sprintf("%s also belongs to the peer of %s; the last one gets it", c.prefix, p.place(before.line)))
		}
		owners[c.prefix] = owner{peer: m, line: c.line}
		m.claims = append(m.claims, c)
	}
}
