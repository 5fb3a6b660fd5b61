// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"context"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// toAddress returns a in the stack's form; the zero Addr is any address.
func toAddress(a netip.Addr) tcpip.Address {
	switch {
	case a.Is4():
		return tcpip.AddrFrom4(a.As4())
	case a.Is6():
		return tcpip.AddrFrom16(a.As16())
	}
	return tcpip.Address{}
}

// fromAddress is the way back; the zero Addr for none.
func fromAddress(a tcpip.Address) netip.Addr {
	switch a.Len() {
	case 4:
		return netip.AddrFrom4(a.As4())
	case 16:
		return netip.AddrFrom16(a.As16()).Unmap()
	}
	return netip.Addr{}
}

func toFull(ap netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: toAddress(ap.Addr()), Port: ap.Port()}
}

// toLocal is toFull for binding. With a network card named, the stack would
// bind to any IPv4 address (stack.go, CheckLocalAddress, 2026-09).
func toLocal(ap netip.AddrPort) tcpip.FullAddress {
	f := toFull(ap)
	if !ap.Addr().IsLinkLocalUnicast() {
		f.NIC = 0
	}
	return f
}

// fromFull returns the address of an endpoint. One that is bound to any address
// is ::, or 0.0.0.0 for an IPv4 endpoint.
func fromFull(f tcpip.FullAddress, ip6 bool) netip.AddrPort {
	a := fromAddress(f.Addr)
	if !a.IsValid() {
		if a = netip.IPv4Unspecified(); ip6 {
			a = netip.IPv6Unspecified()
		}
	}
	return netip.AddrPortFrom(a, f.Port)
}

// netProto returns the protocol number for an address.
func netProto(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// family is the address family that a network name asks for: 4, 6, or 0.
type family byte

// has reports whether addresses like a belong to the family.
func (f family) has(a netip.Addr) bool {
	return f == 0 || (f == 4) == a.Is4()
}

// splitNetwork checks a network name against what Net supports.
func splitNetwork(network string) (transport string, f family, err error) {
	switch network {
	case "tcp", "udp":
		return network, 0, nil
	case "tcp4", "udp4", "tcp6", "udp6":
		return network[:3], family(network[3] - '0'), nil
	}
	return "", 0, net.UnknownNetworkError(network)
}

// splitAddress splits host:port, where the port may be a name.
func splitAddress(ctx context.Context, network, address string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, network, service) // a table, no network
	return host, uint16(n), err
}
