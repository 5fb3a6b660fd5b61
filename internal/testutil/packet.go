// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil

import (
	"encoding/binary"
	"net/netip"
)

// IP protocol numbers used by the builders.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// TCP flag bits of [TCP.Flags].
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// UDP returns an IP packet with a UDP datagram, lengths and checksums filled
// in. src and dst are of one family. The result is the caller's.
func UDP(src, dst netip.AddrPort, payload []byte) []byte {
	b := ipPacket(src.Addr(), dst.Addr(), protoUDP, 8+len(payload))
	seg := b[len(b)-8-len(payload):]
	binary.BigEndian.PutUint16(seg[0:], src.Port())
	binary.BigEndian.PutUint16(seg[2:], dst.Port())
	binary.BigEndian.PutUint16(seg[4:], uint16(len(seg)))
	copy(seg[8:], payload)
	sum := transportChecksum(src.Addr(), dst.Addr(), protoUDP, seg)
	if sum == 0 {
		sum = 0xffff // RFC 768: zero means no checksum
	}
	binary.BigEndian.PutUint16(seg[6:], sum)
	return b
}

// TCP describes a TCP segment for [TCP.Packet].
type TCP struct {
	Src, Dst netip.AddrPort // of one family
	Seq, Ack uint32
	Flags    uint8  // FIN, SYN, RST, PSH, ACK
	Window   uint16 // 0 = 65535
	Payload  []byte
}

// Packet returns the IP packet with the segment, without TCP options, lengths
// and checksums filled in. The result is the caller's.
func (t *TCP) Packet() []byte {
	const header = 20
	b := ipPacket(t.Src.Addr(), t.Dst.Addr(), protoTCP, header+len(t.Payload))
	seg := b[len(b)-header-len(t.Payload):]
	window := t.Window
	if window == 0 {
		window = 0xffff
	}
	binary.BigEndian.PutUint16(seg[0:], t.Src.Port())
	binary.BigEndian.PutUint16(seg[2:], t.Dst.Port())
	binary.BigEndian.PutUint32(seg[4:], t.Seq)
	binary.BigEndian.PutUint32(seg[8:], t.Ack)
	seg[12] = header / 4 << 4
	seg[13] = t.Flags
	binary.BigEndian.PutUint16(seg[14:], window)
	copy(seg[header:], t.Payload)
	binary.BigEndian.PutUint16(seg[16:], transportChecksum(t.Src.Addr(), t.Dst.Addr(), protoTCP, seg))
	return b
}

// Echo returns an IP packet with an ICMP or ICMPv6 echo request, by the family
// of src and dst. The result is the caller's.
func Echo(src, dst netip.Addr, id, seq uint16, payload []byte) []byte {
	proto, typ := byte(protoICMP), byte(8)
	if dst.Is6() {
		proto, typ = protoICMPv6, 128
	}
	b := ipPacket(src, dst, proto, 8+len(payload))
	seg := b[len(b)-8-len(payload):]
	seg[0] = typ
	binary.BigEndian.PutUint16(seg[4:], id)
	binary.BigEndian.PutUint16(seg[6:], seq)
	copy(seg[8:], payload)
	sum := ^fold(sumBytes(0, seg)) // ICMP for IPv4 has no pseudo header
	if dst.Is6() {
		sum = transportChecksum(src, dst, proto, seg)
	}
	binary.BigEndian.PutUint16(seg[2:], sum)
	return b
}

// ChecksumsOK reports whether b is a whole IP packet with TCP, UDP or echo
// directly behind the fixed header whose checksums are right.
func ChecksumsOK(b []byte) bool {
	if len(b) < 20 {
		return false
	}
	switch b[0] >> 4 {
	case 4:
		header := int(b[0]&15) * 4
		if header < 20 || len(b) < header || int(binary.BigEndian.Uint16(b[2:])) != len(b) || fold(sumBytes(0, b[:header])) != 0xffff {
			return false
		}
		if b[9] == protoICMP {
			return fold(sumBytes(0, b[header:])) == 0xffff
		}
		src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		return transportChecksum(src, dst, b[9], b[header:]) == 0
	case 6:
		if len(b) < 40 || int(binary.BigEndian.Uint16(b[4:])) != len(b)-40 {
			return false
		}
		src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		return transportChecksum(src, dst, b[6], b[40:]) == 0
	}
	return false
}

// ipPacket returns an IPv4 (with DF) or IPv6 packet with its header filled in
// and a payload of n zero bytes.
func ipPacket(src, dst netip.Addr, proto byte, n int) []byte {
	if src.Is6() != dst.Is6() || !src.IsValid() {
		panic("testutil: source and destination of different families")
	}
	if src.Is6() {
		b := make([]byte, 40+n)
		b[0] = 6 << 4
		binary.BigEndian.PutUint16(b[4:], uint16(n))
		b[6], b[7] = proto, 64
		copy(b[8:], src.AsSlice())
		copy(b[24:], dst.AsSlice())
		return b
	}
	b := make([]byte, 20+n)
	b[0] = 4<<4 | 5
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[6] = 0x40 // DF
	b[8], b[9] = 64, proto
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], ^fold(sumBytes(0, b[:20])))
	return b
}

// transportChecksum returns the checksum to store in seg, whose checksum field
// is zero; or zero when seg has the right one.
func transportChecksum(src, dst netip.Addr, proto byte, seg []byte) uint16 {
	sum := sumBytes(0, src.AsSlice())
	sum = sumBytes(sum, dst.AsSlice())
	return ^fold(sumBytes(sum+uint64(proto)+uint64(len(seg)), seg))
}

func sumBytes(sum uint64, b []byte) uint64 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
