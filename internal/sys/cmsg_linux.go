// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ErrControl means that control data is not a well-formed sequence of control
// messages, or that one of a known type has a wrong length: nothing in it can be
// relied on. Drop the datagram and count it.
var ErrControl = errors.New("sys: malformed control message")

// cmsgAlign is what control messages are aligned to: sizeof(long), which is the
// size of a pointer everywhere Linux runs.
const cmsgAlign = unix.SizeofPtr

const (
	pktinfo4Space = (unix.SizeofCmsghdr + unix.SizeofInet4Pktinfo + cmsgAlign - 1) &^ (cmsgAlign - 1)
	pktinfo6Space = (unix.SizeofCmsghdr + unix.SizeofInet6Pktinfo + cmsgAlign - 1) &^ (cmsgAlign - 1)
	intSpace      = (unix.SizeofCmsghdr + 4 + cmsgAlign - 1) &^ (cmsgAlign - 1)
)

const (
	// SendControlSpace holds what [AppendPktinfo] and [AppendSegment] append:
	// 40 + 24 bytes on 64-bit machines.
	SendControlSpace = pktinfo6Space + SegmentSpace
	// SegmentSpace is the number of bytes that [AppendSegment] appends.
	SegmentSpace = (unix.SizeofCmsghdr + 2 + cmsgAlign - 1) &^ (cmsgAlign - 1)
	// RecvControlSpace holds every control message that [Control.Parse] knows,
	// one of each: IPV6_PKTINFO, UDP_GRO and SO_RXQ_OVFL, 40 + 24 + 24 bytes on
	// 64-bit machines. The kernel drops what does not fit and says so with
	// MSG_CTRUNC.
	RecvControlSpace = pktinfo6Space + 2*intSpace
)

// appendHeader appends a control message header and zeroed, padded room for
// size bytes of data; data is that room.
func appendHeader(b []byte, level, kind int32, size int) (out, data []byte) {
	start := len(b)
	var zero [pktinfo6Space]byte
	b = append(b, zero[:(unix.SizeofCmsghdr+size+cmsgAlign-1)&^(cmsgAlign-1)]...)
	h := b[start:]
	if cmsgAlign == 8 {
		binary.NativeEndian.PutUint64(h, uint64(unix.SizeofCmsghdr+size))
	} else {
		binary.NativeEndian.PutUint32(h, uint32(unix.SizeofCmsghdr+size))
	}
	binary.NativeEndian.PutUint32(h[cmsgAlign:], uint32(level))
	binary.NativeEndian.PutUint32(h[cmsgAlign+4:], uint32(kind))
	return b, h[unix.SizeofCmsghdr:][:size]
}

// AppendPktinfo appends the control message that sends a datagram from the
// local address: IP_PKTINFO for IPv4, whose ifIndex is ignored so that the route
// decides the device, or IPV6_PKTINFO. An invalid address appends nothing.
func AppendPktinfo(b []byte, local netip.Addr, ifIndex uint32) []byte {
	var data []byte
	switch {
	case local.Is4():
		// struct in_pktinfo { int ifindex; in_addr spec_dst; in_addr addr; }
		b, data = appendHeader(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		a := local.As4()
		copy(data[4:], a[:])
	case local.Is6():
		// struct in6_pktinfo { in6_addr addr; unsigned ifindex; }
		b, data = appendHeader(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		a := local.As16()
		copy(data, a[:])
		binary.NativeEndian.PutUint32(data[16:], ifIndex)
	}
	return b
}

// AppendSegment appends the UDP_SEGMENT control message: the kernel cuts the
// message into datagrams of size bytes, the last of which may be shorter.
func AppendSegment(b []byte, size uint16) []byte {
	b, data := appendHeader(b, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(data, size)
	return b
}

// SetSegment changes the size in b, the bytes that [AppendSegment] appended.
func SetSegment(b []byte, size uint16) {
	binary.NativeEndian.PutUint16(b[unix.SizeofCmsghdr:], size)
}

// Control is what the kernel told about a received datagram.
type Control struct {
	// Local is the address of this host that the datagram was sent to, without
	// a zone: for IPv4 the one to answer from (ipi_spec_dst), for IPv6 the
	// header's destination, which may be a multicast address. The zero Addr
	// when the kernel did not say.
	Local netip.Addr
	// IfIndex is the interface that it arrived on; 0 when unknown.
	IfIndex uint32
	// Segment is the size of the datagrams that GRO merged into the message;
	// 0 when it is one datagram. It may be larger than the message, or
	// negative: the kernel passes on what a driver or a virtual machine said.
	Segment int
	// Overflow is the number of datagrams that the socket has dropped for want
	// of receive buffer since it was opened, modulo 2^32, if HasOverflow.
	Overflow    uint32
	HasOverflow bool
}

// Parse sets every field of c from control data as recvmsg(2) left it. Control
// messages of other types are passed over. On an error c is the zero Control.
func (c *Control) Parse(b []byte) error {
	*c = Control{}
	// What is left after the last message is padding.
	for len(b) >= unix.SizeofCmsghdr {
		var size uint64
		if cmsgAlign == 8 {
			size = binary.NativeEndian.Uint64(b)
		} else {
			size = uint64(binary.NativeEndian.Uint32(b))
		}
		if size < unix.SizeofCmsghdr || size > uint64(len(b)) {
			*c = Control{}
			return ErrControl
		}
		level := int32(binary.NativeEndian.Uint32(b[cmsgAlign:]))
		kind := int32(binary.NativeEndian.Uint32(b[cmsgAlign+4:]))
		if !c.set(level, kind, b[unix.SizeofCmsghdr:size]) {
			*c = Control{}
			return ErrControl
		}
		b = b[min((size+cmsgAlign-1)&^(cmsgAlign-1), uint64(len(b))):]
	}
	return nil
}

// set takes over one control message. It reports whether its length is right.
func (c *Control) set(level, kind int32, data []byte) bool {
	switch {
	case level == unix.IPPROTO_UDP && kind == unix.UDP_GRO:
		// udp_cmsg_recv in net/ipv4/udp.c puts an int.
		if len(data) != 4 {
			return false
		}
		c.Segment = int(int32(binary.NativeEndian.Uint32(data)))
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO:
		if len(data) != unix.SizeofInet4Pktinfo {
			return false
		}
		c.IfIndex = binary.NativeEndian.Uint32(data)
		c.Local = netip.AddrFrom4([4]byte(data[4:8]))
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO:
		if len(data) != unix.SizeofInet6Pktinfo {
			return false
		}
		c.Local = netip.AddrFrom16([16]byte(data[:16])).Unmap()
		c.IfIndex = binary.NativeEndian.Uint32(data[16:])
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL:
		if len(data) != 4 {
			return false
		}
		c.Overflow, c.HasOverflow = binary.NativeEndian.Uint32(data), true
	}
	return true
}
