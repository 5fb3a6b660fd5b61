// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import "net/netip"

// ownAddrs are the addresses of the relay's own sockets. A client at one of them
// would be the relay talking to itself.
type ownAddrs struct {
	addrs map[netip.AddrPort]bool
	ports map[uint16]bool // of sockets that any loopback address reaches
}

func newOwnAddrs(addrs []netip.AddrPort) ownAddrs {
	o := ownAddrs{addrs: make(map[netip.AddrPort]bool, len(addrs)), ports: make(map[uint16]bool)}
	for _, a := range addrs {
		o.addrs[plainAddr(a)] = true
		if ip := a.Addr().Unmap(); ip.IsUnspecified() || ip.IsLoopback() {
			o.ports[a.Port()] = true
		}
	}
	return o
}

func (o *ownAddrs) has(a netip.AddrPort) bool {
	return o.addrs[plainAddr(a)] || a.Addr().IsLoopback() && o.ports[a.Port()]
}

// plainAddr returns a without a zone and never as IPv4 in IPv6.
func plainAddr(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// isHost reports whether one host can send from a and receive there.
func isHost(a netip.AddrPort) bool {
	ip := a.Addr()
	return ip.IsValid() && a.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() &&
		ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
