// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco

import (
	"encoding/binary"
	"net/netip"
)

// An address on the wire is 16 bytes of IPv6, or of IPv4 in the form
// ::ffff:a.b.c.d, and 2 bytes of port.
const addressSize = 18

// appendAddress appends a, without its zone, which means nothing elsewhere. The
// zero AddrPort becomes zeros.
func appendAddress(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().As16()
	b = append(b, ip[:]...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

// addressOf decodes the first addressSize bytes of b. The result is the zero
// AddrPort when they are zero, and IPv4 as such.
func addressOf(b []byte) (netip.AddrPort, error) {
	_ = b[addressSize-1]
	if [addressSize]byte(b) == ([addressSize]byte{}) {
		return netip.AddrPort{}, nil
	}
	a := netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:]))
	if !isAddress(a) {
		return netip.AddrPort{}, ErrValue
	}
	return a, nil
}

// isAddress reports whether one host can send from a and receive there. Loopback
// and link-local addresses are possible; whether they are wanted is not decided
// here.
func isAddress(a netip.AddrPort) bool {
	ip := a.Addr().Unmap()
	return ip.IsValid() && a.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() &&
		ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
