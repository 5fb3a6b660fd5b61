// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

const (
	ipHeader      = 20
	innerHeaders  = ipHeader + 8
	innerMinimum  = udpHeader // the number
	innerPort     = 7777
	innerTTL      = 64
	udpProtocol   = 17
	innerPadding  = 16 // what WireGuard pads packets to
	innerChecksum = ipHeader + 6
)

// An innerPacket is an IPv4 packet with UDP that differs from the next of its
// flow in the number that its payload begins with, and in checksum and padding:
//
//	IPv4 | UDP | number, 8 bytes | content | padding
type innerPacket struct {
	b    []byte // with padding
	size int    // without
	sum  uint32 // of the UDP checksum, without the number
}

func newInnerPacket(src, dst netip.Addr, dstPort uint16, size int) innerPacket {
	p := innerPacket{size: innerHeaders + size}
	p.b = make([]byte, (p.size+innerPadding-1)/innerPadding*innerPadding)
	ip, udp := p.b[:ipHeader], p.b[ipHeader:p.size]
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(p.size))
	ip[6] = 0x40 // do not fragment
	ip[8], ip[9] = innerTTL, udpProtocol
	copy(ip[12:], src.AsSlice())
	copy(ip[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum16(0, ip)))

	binary.BigEndian.PutUint16(udp, innerPort)
	binary.BigEndian.PutUint16(udp[2:], dstPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	for i := innerHeaders + udpHeader; i < p.size; i++ {
		p.b[i] = byte(i)
	}
	// With the pseudo header: addresses, protocol and length.
	p.sum = sum16(sum16(0, ip[12:20]), udp) + udpProtocol + uint32(len(udp))
	return p
}

// number returns the packet with that number; it is valid until the next call.
func (p *innerPacket) number(n uint64) []byte {
	binary.BigEndian.PutUint64(p.b[innerHeaders:], n)
	c := ^fold(sum16(p.sum, p.b[innerHeaders:innerHeaders+udpHeader]))
	if c == 0 {
		c = 0xffff // RFC 768: 0 means that there is none
	}
	binary.BigEndian.PutUint16(p.b[innerChecksum:], c)
	return p.b
}

// same returns the number of a received packet, and whether it is the one that
// was sent: all of it, but for what a router on the way changes.
func (p *innerPacket) same(got []byte) (n uint64, ok bool) {
	if len(got) < p.size || len(got) > len(p.b) {
		return 0, false
	}
	n = binary.BigEndian.Uint64(got[innerHeaders:])
	want := p.number(n)
	const ttl, addresses = 8, 12                // and the checksum after the former
	return n, bytes.Equal(got[:4], want[:4]) && // not the identification
		bytes.Equal(got[6:ttl], want[6:ttl]) && got[9] == udpProtocol &&
		fold(sum16(0, got[:ipHeader])) == 0xffff &&
		bytes.Equal(got[addresses:p.size], want[addresses:p.size])
}

// sameContent reports whether a payload of the same size has what follows the
// number in all packets.
func (p *innerPacket) sameContent(payload []byte) bool {
	return bytes.Equal(payload[udpHeader:], p.b[innerHeaders+udpHeader:p.size])
}

// sum16 adds the 16-bit words of b, of even length or padded with a zero.
func sum16(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
