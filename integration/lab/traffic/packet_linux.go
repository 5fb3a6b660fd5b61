// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

const ip6Header = 40

// Flags of TCP.
const (
	FIN = 0x01
	SYN = 0x02
	RST = 0x04
	PSH = 0x08
	ACK = 0x10
	URG = 0x20
)

// A Packet describes an IP packet, of the family of its addresses.
type Packet struct {
	Src, Dst netip.Addr
	Protocol uint8
	HopLimit uint8  // 0 = 64
	ID       uint32 // of IPv4, or of the fragment
	DF       bool   // IPv4: do not fragment
	// Offset, a multiple of 8, and More make it a fragment.
	Offset int
	More   bool
	// Extensions are IPv6 extension headers, each of a whole number of 8 bytes,
	// whose first byte is filled in; before the fragment header if there is one.
	Extensions []Extension
	Payload    []byte
}

// An Extension is an extension header of IPv6 with its type.
type Extension struct {
	Type  uint8
	Bytes []byte
}

// Bytes returns the packet as it is on the wire.
func (p Packet) Bytes() []byte {
	hops := p.HopLimit
	if hops == 0 {
		hops = innerTTL
	}
	fragment := uint16(p.Offset)
	if p.Src.Is4() {
		fragment /= 8
		if p.More {
			fragment |= 0x2000
		}
		if p.DF {
			fragment |= 0x4000
		}
		b := make([]byte, ipHeader, ipHeader+len(p.Payload))
		b[0] = 0x45
		binary.BigEndian.PutUint16(b[2:], uint16(ipHeader+len(p.Payload)))
		binary.BigEndian.PutUint16(b[4:], uint16(p.ID))
		binary.BigEndian.PutUint16(b[6:], fragment)
		b[8], b[9] = hops, p.Protocol
		copy(b[12:], p.Src.AsSlice())
		copy(b[16:], p.Dst.AsSlice())
		SumHeader(b)
		return append(b, p.Payload...)
	}
	extensions := append([]Extension(nil), p.Extensions...)
	if p.More || p.Offset > 0 {
		header := make([]byte, 8)
		if p.More {
			fragment |= 1
		}
		binary.BigEndian.PutUint16(header[2:], fragment)
		binary.BigEndian.PutUint32(header[4:], p.ID)
		extensions = append(extensions, Extension{unix.IPPROTO_FRAGMENT, header})
	}
	b := make([]byte, ip6Header)
	b[0], b[7] = 0x60, hops
	copy(b[8:], p.Src.AsSlice())
	copy(b[24:], p.Dst.AsSlice())
	next := 6 // where the type of the next header goes
	for _, e := range extensions {
		b[next] = e.Type
		next = len(b)
		b = append(b, e.Bytes...)
	}
	b[next] = p.Protocol
	b = append(b, p.Payload...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ip6Header))
	return b
}

// SumHeader makes the checksum of an IPv4 header right.
func SumHeader(b []byte) {
	header := b[:min(int(b[0]&15)*4, len(b))]
	clear(header[10:12])
	binary.BigEndian.PutUint16(header[10:], ^fold(sum16(0, header)))
}

// UDPBytes returns a UDP datagram between the addresses.
func UDPBytes(src, dst netip.AddrPort, payload []byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	ports(b, src, dst)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return sumTransport(append(b, payload...), src, dst, unix.IPPROTO_UDP, 6)
}

// TCPBytes returns a TCP segment between the addresses, without options.
func TCPBytes(src, dst netip.AddrPort, flags uint8, seq, ack uint32, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	ports(b, src, dst)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[14:], 0xffff)
	return sumTransport(append(b, payload...), src, dst, unix.IPPROTO_TCP, 16)
}

// EchoBytes returns an echo request or reply, of the family of the addresses.
func EchoBytes(src, dst netip.Addr, reply bool, id, seq uint16, payload []byte) []byte {
	typ, protocol := byte(8), uint8(unix.IPPROTO_ICMP)
	if reply {
		typ = 0
	}
	if src.Is6() {
		typ, protocol = 128, unix.IPPROTO_ICMPV6
		if reply {
			typ = 129
		}
	}
	b := []byte{typ, 0, 0, 0, byte(id >> 8), byte(id), byte(seq >> 8), byte(seq)}
	return sumTransport(append(b, payload...), netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0), protocol, 2)
}

// ICMPErrorBytes returns an ICMP error about a packet, which it quotes, of the
// family of the addresses.
func ICMPErrorBytes(src, dst netip.Addr, typ, code uint8, quote []byte) []byte {
	protocol := uint8(unix.IPPROTO_ICMP)
	if src.Is6() {
		protocol = unix.IPPROTO_ICMPV6
	}
	b := append([]byte{typ, code, 0, 0, 0, 0, 0, 0}, quote...)
	return sumTransport(b, netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0), protocol, 2)
}

func ports(b []byte, src, dst netip.AddrPort) {
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
}

// sumTransport fills in the checksum at an offset, with the pseudo header unless
// it is ICMP of IPv4.
func sumTransport(b []byte, src, dst netip.AddrPort, protocol uint8, at int) []byte {
	sum := uint32(0)
	if protocol != unix.IPPROTO_ICMP {
		sum = sum16(sum16(uint32(protocol)+uint32(len(b)), src.Addr().AsSlice()), dst.Addr().AsSlice())
	}
	binary.BigEndian.PutUint16(b[at:], ^fold(sum16(sum, b)))
	return b
}
