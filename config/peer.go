// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// A Peer is one [Peer] section, or several with the same public key.
type Peer struct {
	// Name is what people call the peer, see [ValidPeerName]; empty for none. In a file
	// it is a comment, # Name = NAME, so that WireGuard's own tools take the file.
	Name string

	PublicKey    Key
	PresharedKey Key // zero is none
	// AllowedIPs are the ranges that are routed to the peer and accepted from it,
	// host bits cleared, each once and claimed by no other peer.
	AllowedIPs []netip.Prefix
	Endpoint   Endpoint // zero: the peer speaks first
	// PersistentKeepalive is in seconds; 0 is off.
	PersistentKeepalive uint16

	// Line is where the section begins in the file, for messages; 0 when the Peer
	// comes from nowhere. It is no part of the configuration.
	Line int
}

// A peerSection is one [Peer] of the file before those of one key are merged.
type peerSection struct {
	peer   Peer // without AllowedIPs
	given  map[string]int
	claims []claim
}

// A claim is one range of AllowedIPs and where it was written.
type claim struct {
	prefix netip.Prefix
	line   int
}

// peerKeys are the keys of [Peer], in the order in which they are written.
func peerKeys() []key {
	return []key{
		{name: "PublicKey", set: setPublicKey},
		{name: "PresharedKey", set: setPresharedKey},
		{name: "AllowedIPs", set: addAllowedIPs, repeats: true, empty: true},
		{name: "Endpoint", set: setEndpoint},
		{name: "PersistentKeepalive", set: setPersistentKeepalive},
	}
}

// current returns the section that the line belongs to.
func (e *entry) current() *peerSection { return e.peers[len(e.peers)-1] }

func setPublicKey(e *entry) {
	k, ok := e.key()
	switch {
	case !ok:
	case k.IsZero():
		e.wrong("make the key with router pubkey from the private key of the peer", "all zero")
	default:
		e.current().peer.PublicKey = k
	}
}

func setPresharedKey(e *entry) {
	if k, ok := e.key(); ok {
		e.current().peer.PresharedKey = k
	}
}

// addAllowedIPs reads ranges between commas. As in wg an item may not be empty, but
// the whole value may.
func addAllowedIPs(e *entry) {
	if e.value == "" {
		return
	}
	s := e.current()
	for text := range strings.SplitSeq(e.value, ",") {
		prefix, ok := parseRange(text)
		if !ok {
			e.wrong(allowedIPHint(text), "%s is not an address range", show(text))
			continue
		}
		masked := prefix.Masked()
		if masked != prefix {
			e.doubt("write "+masked.String(), "%s has bits set behind its mask", show(text))
		}
		if masked.Addr().Is4In6() && masked.Bits() >= 96 {
			e.doubt("write "+netip.PrefixFrom(masked.Addr().Unmap(), masked.Bits()-96).String(),
				"%s is an IPv4 range in IPv6 form and matches no packet", show(text))
		}
		s.claims = append(s.claims, claim{prefix: masked, line: e.line})
	}
}

// allowedIPHint says what is right instead of text, which is no range.
func allowedIPHint(text string) string {
	host, mask, _ := strings.Cut(text, "/")
	switch {
	case text == "":
		return "remove the comma that has nothing on one side"
	case text[0] == '+' || text[0] == '-':
		return "remove the " + text[:1] + ", which only wg set knows"
	}
	if strings.Contains(mask, "/") {
		return "put commas between ranges"
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() != "" {
		return "remove the zone behind %"
	}
	if prefix, ok := parseNetmask(host + "/" + mask); ok {
		return "write " + prefix.Masked().String()
	}
	if strings.Contains(host, ":") {
		return "write ADDRESS/BITS, for example fd00::/64"
	}
	return "write ADDRESS/BITS, for example 10.0.0.0/24"
}

func setPersistentKeepalive(e *entry) {
	interval := &e.current().peer.PersistentKeepalive
	if sameName(e.value, "off") {
		*interval = 0
		return
	}
	n, err := strconv.ParseUint(e.value, 10, 16)
	if err != nil {
		e.wrong("write off or a number of seconds up to 65535, for example 25", "%s is not an interval", show(e.value))
		return
	}
	*interval = uint16(n)
}
