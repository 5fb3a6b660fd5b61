// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A SubnetRouter says which destinations behind the host peers reach in netstack mode,
// where the router makes the connections to them itself. The zero SubnetRouter is none.
type SubnetRouter struct {
	// Any takes every destination but those that are refused by default: loopback,
	// link-local and metadata addresses, and those of this host.
	Any bool
	// Prefixes are destinations that are taken too, host bits cleared, each once. Those
	// that are refused by default need one within their range, see package proxy.
	Prefixes []netip.Prefix
	// Line is where it stands in the file; 0 when it comes from nowhere. It is no part
	// of the configuration.
	Line int
}

// On reports whether s takes any destination.
func (s SubnetRouter) On() bool { return s.Any || len(s.Prefixes) > 0 }

// String returns s in the form of configuration files.
func (s SubnetRouter) String() string {
	var items []string
	if s.Any {
		items = append(items, "on")
	}
	for _, p := range s.Prefixes {
		items = append(items, p.String())
	}
	if len(items) == 0 {
		return "off"
	}
	return strings.Join(items, ", ")
}

func (s SubnetRouter) equal(other SubnetRouter) bool {
	return s.Any == other.Any && slices.Equal(s.Prefixes, other.Prefixes)
}

// A Recovery is how TCP in netstack mode finds out what was lost.
type Recovery uint8

const (
	// RecoverySACK counts what was acknowledged selectively (RFC 6675). It is the default.
	RecoverySACK Recovery = iota
	// RecoveryRACK goes by time as well (RFC 8985).
	RecoveryRACK
)

// String returns rack or sack.
func (r Recovery) String() string {
	switch r {
	case RecoveryRACK:
		return "rack"
	case RecoverySACK:
		return "sack"
	}
	return "Recovery(" + strconv.Itoa(int(r)) + ")"
}

// A Congestion is the congestion control of TCP in netstack mode.
type Congestion uint8

const (
	// CongestionCubic is CUBIC (RFC 9438). It is the default.
	CongestionCubic Congestion = iota
	// CongestionReno is NewReno (RFC 6582).
	CongestionReno
)

// String returns cubic or reno.
func (c Congestion) String() string {
	switch c {
	case CongestionCubic:
		return "cubic"
	case CongestionReno:
		return "reno"
	}
	return "Congestion(" + strconv.Itoa(int(c)) + ")"
}

// netstackKeys are the keys of [Router] about netstack mode, in the order in which they
// are written.
func netstackKeys() []key {
	return []key{
		{name: "SubnetRouter", set: setSubnetRouter, spaced: true},
		{name: "SubnetRouterPerPeer", set: setSubnetRouterPerPeer, spaced: true},
		{name: "TCPRecovery", set: setTCPRecovery, spaced: true},
		{name: "TCPCongestion", set: setTCPCongestion, spaced: true},
	}
}

// setSubnetRouter reads off, or on and ranges between commas.
func setSubnetRouter(e *entry) {
	const hint = "write off, on, or ranges such as 192.168.7.0/24, with commas between them"
	s := SubnetRouter{Line: e.line}
	items := strings.Split(e.value, ",")
	for _, item := range items {
		item = strings.Trim(item, space)
		prefix, ok := parseRange(item)
		masked := prefix.Masked()
		switch {
		case sameName(item, "off") && len(items) > 1:
			e.wrong("write off alone, or remove it", "off leaves nothing for the others")
			return
		case sameName(item, "off"):
		case sameName(item, "on"):
			s.Any = true
		case item == "":
			e.wrong("remove the comma that has nothing on one side", "an item is empty")
			return
		case !ok:
			e.wrong(hint, "%s is not an address range", show(item))
			return
		case masked.Addr().Is4In6():
			e.wrong("write an IPv4 range as 192.168.7.0/24", "%s is an IPv4 range in IPv6 form", show(item))
			return
		case slices.Contains(s.Prefixes, masked):
			e.doubt("remove one of the two", "%s is given twice", masked)
		default:
			if masked != prefix {
				e.doubt("write "+masked.String(), "%s has bits set behind its mask", show(item))
			}
			s.Prefixes = append(s.Prefixes, masked)
		}
	}
	e.cfg.Router.SubnetRouter = s
}

func setSubnetRouterPerPeer(e *entry) {
	hint := fmt.Sprintf("write a number from 1 to %d, or leave it out for the default", maxConnections)
	if n, ok := e.number(1, maxConnections, "a number of connections", hint); ok {
		e.cfg.Router.SubnetRouterPerPeer = int(n)
	}
}

func setTCPRecovery(e *entry) {
	if n, ok := e.choice(RecoverySACK.String(), RecoveryRACK.String()); ok {
		e.cfg.Router.TCPRecovery = Recovery(n)
	}
}

func setTCPCongestion(e *entry) {
	if n, ok := e.choice(CongestionCubic.String(), CongestionReno.String()); ok {
		e.cfg.Router.TCPCongestion = Congestion(n)
	}
}
