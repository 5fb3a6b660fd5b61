// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"encoding/binary"

	"github.com/tailscale/wireguard-go/tun"
)

const (
	protoTCP       = 6
	protoUDP       = 17
	ip6HopByHop    = 0
	ip6Routing     = 43
	ip6Fragment    = 44
	ip6Destination = 60
	ip4HeaderLen   = 20
	ip6HeaderLen   = 40
	tcpHeaderLen   = 20
	udpHeaderLen   = 8
	tcpFlagFIN     = 0x01
	tcpFlagPSH     = 0x08
	tcpFlagACK     = 0x10
	tcpSeqAt       = 4
	tcpAckAt       = 8
	tcpOffsetAt    = 12
	tcpFlagsAt     = 13
	tcpWindowAt    = 14
	tcpChecksumAt  = 16
	checksumOK     = 0xffff // sum over data and its right checksum
)

// dropReason says why an inbound packet was dropped.
type dropReason int

const (
	keep              dropReason = iota
	dropShort                    // shorter than its headers
	dropVersion                  // neither IPv4 nor IPv6
	dropLength                   // its lengths contradict each other
	dropIPChecksum               // IPv4 header
	dropTCPUDPSum                // TCP or UDP
	dropSource                   // in transit, from an address that nobody has there
	dropInboundClosed            // the device is closed
	numDropReasons
)

// inbound is what Write knows of one packet. It borrows the packet's bytes.
type inbound struct {
	b        []byte // the IP packet, without what may follow it
	verified bool   // its checksums have been verified
	joinable bool   // a TCP segment with data that others may be joined to
	tcp      int    // offset of the TCP header; 0: not TCP, or not looked at
	data     int    // offset of the TCP payload
	udp      int    // offset of the UDP header, likewise
	echo     int    // offset of an ICMP echo request, not verified, likewise
	fragment bool
	next     int16 // index of the next packet of the run, -1 at the end
}

// inspect checks b, an IP packet from the network, and overwrites p with what
// it found. Fragments and packets that it cannot look through are kept
// unverified: the stack verifies them after reassembly.
func (p *inbound) inspect(b []byte) dropReason {
	*p = inbound{next: -1}
	if len(b) < ip4HeaderLen {
		return dropShort
	}
	switch b[0] >> 4 {
	case 4:
		return p.inspect4(b)
	case 6:
		return p.inspect6(b)
	}
	return dropVersion
}

func (p *inbound) inspect4(b []byte) dropReason {
	hdr := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if hdr < ip4HeaderLen || total < hdr || total > len(b) {
		return dropLength
	}
	p.b = b[:total]
	if tun.Checksum(p.b[:hdr], 0) != checksumOK {
		return dropIPChecksum
	}
	if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // more fragments, or an offset
		p.fragment = true
		return keep
	}
	return p.inspectTransport(b[9], hdr, p.b[12:16], p.b[16:20], hdr == ip4HeaderLen)
}

func (p *inbound) inspect6(b []byte) dropReason {
	if len(b) < ip6HeaderLen {
		return dropShort
	}
	total := ip6HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return dropLength
	}
	p.b = b[:total]
	proto, at := b[6], ip6HeaderLen
	for {
		switch proto {
		case ip6HopByHop, ip6Destination, ip6Routing:
			if at+8 > total {
				return dropLength
			}
			if proto == ip6Routing && p.b[at+3] != 0 {
				return keep // not at its destination: the pseudo header has another
			}
			proto, at = p.b[at], at+8+int(p.b[at+1])*8
			if at > total {
				return dropLength
			}
		case ip6Fragment:
			p.fragment = true
			return keep
		default:
			return p.inspectTransport(proto, at, p.b[8:24], p.b[24:40], at == ip6HeaderLen)
		}
	}
}

// inspectTransport verifies TCP and UDP at p.b[at:] and leaves other protocols
// to the stack. plain says that the IP header has no options or extensions.
func (p *inbound) inspectTransport(proto byte, at int, src, dst []byte, plain bool) dropReason {
	b := p.b[at:]
	switch proto {
	case protoTCP:
		if len(b) < tcpHeaderLen {
			return dropShort
		}
		hdr := int(b[tcpOffsetAt]>>4) * 4
		if hdr < tcpHeaderLen || hdr > len(b) {
			return dropLength
		}
		if !checksumValid(proto, src, dst, b) {
			return dropTCPUDPSum
		}
		p.verified, p.tcp, p.data = true, at, at+hdr
		p.joinable = plain && p.data < len(p.b) && b[tcpFlagsAt]&^tcpFlagPSH == tcpFlagACK
	case protoUDP:
		if len(b) < udpHeaderLen {
			return dropShort
		}
		n := int(binary.BigEndian.Uint16(b[4:]))
		if n < udpHeaderLen || n > len(b) {
			return dropLength
		}
		none := b[6] == 0 && b[7] == 0 // no checksum: RFC 768, not over IPv6
		if none && len(src) == 16 || !none && !checksumValid(proto, src, dst, b[:n]) {
			return dropTCPUDPSum
		}
		p.verified, p.udp = true, at
	case protoICMP, protoICMP6:
		typ := byte(echoRequest4)
		if len(src) == 16 {
			typ = echoRequest6
		}
		if proto == protoICMP == (len(src) == 4) && len(b) >= icmpHeaderLen && b[0] == typ && b[1] == 0 {
			p.echo = at
		}
	}
	return keep
}

func checksumValid(proto byte, src, dst, b []byte) bool {
	return tun.Checksum(b, tun.PseudoHeaderChecksum(proto, src, dst, uint16(len(b)))) == checksumOK
}

// flow returns the bytes that name the flow of a TCP or UDP packet with a plain
// IP header: addresses and ports, which follow each other.
func (p *inbound) flow() []byte {
	if p.b[0]>>4 == 4 {
		return p.b[12:24]
	}
	return p.b[8:44]
}

func (p *inbound) seq() uint32 { return binary.BigEndian.Uint32(p.b[p.tcp+tcpSeqAt:]) }
