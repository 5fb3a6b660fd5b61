// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"fmt"
	"net/netip"
)

// Preference says which family's addresses come first.
type Preference byte

const (
	// PreferAuto is IPv6 first if the host has an IPv6 address, as RFC 6724
	// has it.
	PreferAuto Preference = iota
	// PreferIPv4 is IPv4 first, even if the host has both.
	PreferIPv4
	// PreferIPv6 is IPv6 first. What the host has no address of is left out in
	// any case, so this is the same as PreferAuto.
	PreferIPv6
)

// String returns auto, ipv4 or ipv6.
func (p Preference) String() string {
	switch p {
	case PreferAuto:
		return "auto"
	case PreferIPv4:
		return "ipv4"
	case PreferIPv6:
		return "ipv6"
	}
	return fmt.Sprintf("Preference(%d)", byte(p))
}

// order returns a copy of addrs in which the families take turns, the preferred
// one first, each in its given order (RFC 8305, section 4).
func (p Preference) order(addrs []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, a := range addrs {
		if a.Is4() == (p == PreferIPv4) {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	out := make([]netip.Addr, 0, len(addrs))
	for len(first) > 0 && len(second) > 0 {
		out = append(out, first[0], second[0])
		first, second = first[1:], second[1:]
	}
	return append(append(out, first...), second...)
}

// families are those that the host has addresses of.
type families struct{ v4, v6 bool }
