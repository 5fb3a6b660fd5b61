// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package inner

import (
	"encoding/binary"
	"net/netip"
)

// Sizes of headers in bytes.
const (
	IPv4HeaderLen = 20
	IPv6HeaderLen = 40
	tcpHeaderLen  = 20
	udpHeaderLen  = 8
	icmpHeaderLen = 8
)

// Protocol numbers, see https://www.iana.org/assignments/protocol-numbers.
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// Flags of TCP.
const (
	FIN = 0x01
	SYN = 0x02
	RST = 0x04
	ACK = 0x10
)

// A Packet is what the headers of one IP packet say. Parse overwrites all of it,
// so one Packet serves many; it holds no reference to the packet's bytes.
type Packet struct {
	Src, Dst netip.Addr // 4 bytes long for IPv4, never mapped
	Length   int        // of the whole packet, in bytes
	HopLimit uint8      // time to live

	// Protocol is that of the transport header: of IPv6 the first one behind the
	// extension headers, or the one at which they could not be followed.
	Protocol uint8
	// Transport is the offset of the transport header, which is there as far as
	// its protocol has a fixed part: 20 bytes of TCP, 8 of UDP and ICMP. It is 0
	// when it is not in this packet, cut short, or behind a header not known.
	Transport int

	// Fragment is set for every fragment, the first too. Offset is the place of its
	// data in the whole, in bytes; More says that others follow; ID is theirs all.
	// FragmentLen is how many bytes of the whole it holds.
	Fragment    bool
	More        bool
	Offset      int
	FragmentLen int
	ID          uint32

	// DontFragment is the flag of IPv4; always set for IPv6, whose routers do not.
	DontFragment bool

	// SrcPort and DstPort are those of TCP and UDP. Flags are those of TCP.
	SrcPort, DstPort uint16
	Flags            uint8
	// Type and Code are those of ICMP and ICMPv6. Echo is the identifier of an echo
	// request or answer.
	Type, Code uint8
	Echo       uint16
}

// A Problem says why a packet is none, or none that a router may pass on.
type Problem uint8

// The problems.
const (
	OK       Problem = iota
	Short            // shorter than its headers
	Version          // neither IPv4 nor IPv6
	Length           // the length in the header is not that of the packet
	Checksum         // of the IPv4 header
	Header           // a header that contradicts itself: option lengths, fragments past the end, extension headers without end
)

// Problems is how many values there are.
const Problems = int(Header) + 1

// String returns a word for a counter.
func (p Problem) String() string {
	switch p {
	case OK:
		return "ok"
	case Short:
		return "short"
	case Version:
		return "version"
	case Length:
		return "length"
	case Checksum:
		return "checksum"
	case Header:
		return "header"
	}
	return "unknown"
}

// Parse reads the headers of pkt. With a problem the fields mean nothing.
func (p *Packet) Parse(pkt []byte) Problem {
	*p = Packet{Length: len(pkt)}
	if len(pkt) == 0 {
		return Short
	}
	switch pkt[0] >> 4 {
	case 4:
		return p.parse4(pkt)
	case 6:
		return p.parse6(pkt)
	}
	return Version
}

func (p *Packet) parse4(pkt []byte) Problem {
	if len(pkt) < IPv4HeaderLen {
		return Short
	}
	header := int(pkt[0]&15) * 4
	switch {
	case header < IPv4HeaderLen:
		return Header
	case header > len(pkt):
		return Short
	case int(binary.BigEndian.Uint16(pkt[2:])) != len(pkt):
		return Length
	case Sum(pkt[:header], 0) != 0xffff:
		return Checksum
	}
	p.Src = netip.AddrFrom4([4]byte(pkt[12:16]))
	p.Dst = netip.AddrFrom4([4]byte(pkt[16:20]))
	p.HopLimit, p.Protocol = pkt[8], pkt[9]
	p.DontFragment = pkt[6]&0x40 != 0
	if field := binary.BigEndian.Uint16(pkt[6:]); field&0x3fff != 0 {
		p.ID = uint32(binary.BigEndian.Uint16(pkt[4:]))
		if problem := p.fragment(int(field&0x1fff)*8, field&0x2000 != 0, len(pkt)-header, header); problem != OK {
			return problem
		}
	}
	p.transport(pkt, header)
	return OK
}

// fragment notes that the packet is a fragment with n bytes of data, to be put
// behind headers of so many bytes.
func (p *Packet) fragment(offset int, more bool, n, header int) Problem {
	p.Fragment, p.Offset, p.More, p.FragmentLen = true, offset, more, n
	if n == 0 || more && n%8 != 0 || header+offset+n > 0xffff {
		return Header
	}
	return OK
}

// transport reads the transport header at offset at, if the packet has it.
func (p *Packet) transport(pkt []byte, at int) {
	if p.Fragment && p.Offset > 0 {
		return
	}
	t := pkt[at:]
	switch p.Protocol {
	case TCP:
		if len(t) < tcpHeaderLen || int(t[12]>>4)*4 < tcpHeaderLen || int(t[12]>>4)*4 > len(t) {
			return
		}
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
		p.Flags = t[13]
	case UDP:
		if len(t) < udpHeaderLen {
			return
		}
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
	case ICMP, ICMPv6:
		if len(t) < icmpHeaderLen {
			return
		}
		p.Type, p.Code = t[0], t[1]
		if p.IsEcho() {
			p.Echo = binary.BigEndian.Uint16(t[4:])
		}
	default:
		if len(t) == 0 {
			return
		}
	}
	p.Transport = at
}

// IsEcho reports whether the packet is an echo request or answer.
func (p *Packet) IsEcho() bool {
	switch {
	case p.Protocol == ICMP && p.Src.Is4():
		return p.Type == 8 || p.Type == 0
	case p.Protocol == ICMPv6 && !p.Src.Is4():
		return p.Type == 128 || p.Type == 129
	}
	return false
}

// IsError reports whether the packet is an ICMP error, about a packet of which it
// holds the beginning, 8 bytes behind Transport.
func (p *Packet) IsError() bool {
	if p.Transport == 0 {
		return false
	}
	switch {
	case p.Protocol == ICMP && p.Src.Is4():
		return p.Type == 3 || p.Type == 4 || p.Type == 5 || p.Type == 11 || p.Type == 12
	case p.Protocol == ICMPv6 && !p.Src.Is4():
		return p.Type < 128
	}
	return false
}

// Sum returns the Internet checksum's sum over b and initial, not inverted (RFC
// 1071): 0xffff for a header with its right checksum.
func Sum(b []byte, initial uint32) uint16 {
	sum := uint64(initial)
	for len(b) >= 4 {
		sum += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
