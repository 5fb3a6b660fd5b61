// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Lengths of what netlink messages begin with, in bytes (linux/netlink.h,
// rtnetlink.h, neighbour.h, if_addr.h).
const (
	headerLen = unix.SizeofNlMsghdr
	attrLen   = unix.SizeofRtAttr
	routeLen  = unix.SizeofRtMsg
	neighLen  = unix.SizeofNdMsg
	linkLen   = unix.SizeofIfInfomsg
	addrLen   = unix.SizeofIfAddrmsg
)

var native = binary.NativeEndian

// align rounds n up to the next multiple of 4, where the next part begins.
func align(n int) int { return (n + 3) &^ 3 }

// appendAttr appends one attribute.
func appendAttr(b []byte, typ uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(attrLen+len(value)))
	b = native.AppendUint16(b, typ)
	b = append(b, value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

func appendAttr32(b []byte, typ uint16, value uint32) []byte {
	b = native.AppendUint16(b, attrLen+4)
	b = native.AppendUint16(b, typ)
	return native.AppendUint32(b, value)
}

// appendAttrAddr appends an address as an attribute, without allocation.
func appendAttrAddr(b []byte, typ uint16, a netip.Addr) []byte {
	if a.Is4() {
		ip := a.As4()
		return appendAttr(b, typ, ip[:])
	}
	ip := a.As16()
	return appendAttr(b, typ, ip[:])
}

// attrs yields types and values of the attributes in b, up to the first one that
// is damaged. The values are parts of b.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrLen {
			n := int(native.Uint16(b))
			if n < attrLen || n > len(b) {
				return
			}
			if !yield(native.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[attrLen:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// number returns the value of a 32-bit attribute; 0 when it is shorter.
func number(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return native.Uint32(value)
}

// address returns an address of either family; the zero Addr when it is none.
func address(value []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(value)
	return a.Unmap()
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// A neighbour is what a message tells of one; the zero ip means that it is about
// something else.
type neighbour struct {
	ip      netip.Addr
	ifIndex int
	mac     [6]byte
	usable  bool // whether the kernel would send to mac now
	fixed   bool // set by somebody (NUD_PERMANENT), not learnt
}

// parseNeighbour reads the body of a message.
func parseNeighbour(b []byte) (n neighbour) {
	if len(b) < neighLen || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 {
		return n
	}
	const states = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT
	n.ifIndex = int(native.Uint32(b[4:]))
	usable := native.Uint16(b[8:])&states != 0
	n.fixed = native.Uint16(b[8:])&unix.NUD_PERMANENT != 0
	for typ, value := range attrs(b[neighLen:]) {
		switch typ {
		case unix.NDA_DST:
			n.ip = address(value)
		case unix.NDA_LLADDR:
			if n.usable = usable && len(value) == 6; n.usable {
				n.mac = [6]byte(value)
			}
		}
	}
	return n
}

// A route is what the kernel says about one destination.
type route struct {
	typ      uint8 // RTN_…
	ifIndex  int
	gateway  netip.Addr // the zero Addr when the destination is on the link
	src      netip.Addr // the kernel's choice, when it was asked for one
	mtu      int        // 0: that of the interface
	hopLimit uint8      // 0: the default
	special  bool       // encapsulation and the like
}

// parseRoute reads the body of a message.
func parseRoute(b []byte) (r route, ok bool) {
	if len(b) < routeLen {
		return r, false
	}
	r.typ = b[7]
	for typ, value := range attrs(b[routeLen:]) {
		switch typ {
		case unix.RTA_OIF:
			r.ifIndex = int(number(value))
		case unix.RTA_GATEWAY:
			r.gateway = address(value)
		case unix.RTA_VIA: // a family, and an address that need not be of that of the route
			r.gateway = address(value[min(2, len(value)):])
		case unix.RTA_PREFSRC:
			r.src = address(value)
		case unix.RTA_METRICS:
			for metric, value := range attrs(value) {
				switch metric {
				case unix.RTAX_MTU:
					r.mtu = int(number(value))
				case unix.RTAX_HOPLIMIT:
					r.hopLimit = uint8(min(number(value), 255))
				}
			}
		case unix.RTA_ENCAP, unix.RTA_NEWDST, unix.RTA_MULTIPATH:
			r.special = true
		}
	}
	return r, true
}
