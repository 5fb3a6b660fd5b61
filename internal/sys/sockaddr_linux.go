// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A Sockaddr is the memory of a sockaddr_in or a sockaddr_in6 (ip(7), ipv6(7)).
// Port and address are in network order, the rest in the machine's:
//
//	            0        2      4                8                24
//	sockaddr_in  | family | port | address (4)    | zero (8)  |
//	sockaddr_in6 | family | port | flow label (4) | address (16)   | scope (4) |
type Sockaddr [unix.SizeofSockaddrInet6]byte

// sizeofSockaddrInet6RFC2133 is a sockaddr_in6 without scope, the least that
// the kernel knows (SIN6_LEN_RFC2133 in include/net/ipv6.h).
const sizeofSockaddrInet6RFC2133 = 24

// Put writes ap and, for IPv6, the scope (the interface of a link-local address)
// and returns how many bytes of s the kernel is to be given. An invalid address
// yields 0. The zone of ap is not looked at.
func (s *Sockaddr) Put(ap netip.AddrPort, scope uint32) int {
	*s = Sockaddr{}
	binary.BigEndian.PutUint16(s[2:], ap.Port())
	switch addr := ap.Addr(); {
	case addr.Is4():
		binary.NativeEndian.PutUint16(s[:], unix.AF_INET)
		a := addr.As4()
		copy(s[4:], a[:])
		return unix.SizeofSockaddrInet4
	case addr.Is6():
		binary.NativeEndian.PutUint16(s[:], unix.AF_INET6)
		a := addr.As16()
		copy(s[8:], a[:])
		binary.NativeEndian.PutUint32(s[24:], scope)
		return unix.SizeofSockaddrInet6
	}
	*s = Sockaddr{}
	return 0
}

// Get reads the n bytes that the kernel wrote into s. The address has no zone;
// an IPv4 address is never in its IPv6 form. Anything but an IPv4 or IPv6
// address is not ok.
func (s *Sockaddr) Get(n int) (ap netip.AddrPort, scope uint32, ok bool) {
	if n < 2 || n > len(s) {
		return netip.AddrPort{}, 0, false
	}
	port := binary.BigEndian.Uint16(s[2:])
	switch family := binary.NativeEndian.Uint16(s[:]); {
	case family == unix.AF_INET && n >= unix.SizeofSockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s[4:8])), port), 0, true
	case family == unix.AF_INET6 && n >= sizeofSockaddrInet6RFC2133:
		if n >= unix.SizeofSockaddrInet6 {
			scope = binary.NativeEndian.Uint32(s[24:])
		}
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s[8:24])).Unmap(), port), scope, true
	}
	return netip.AddrPort{}, 0, false
}
