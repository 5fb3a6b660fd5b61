// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"encoding/binary"
	"math/bits"

	"github.com/tailscale/wireguard-go/tun"
)

// A kind is a protocol whose packets can be merged.
type kind uint8

const (
	kindTCP kind = iota
	kindUDP
	kinds // number of kinds
)

func (k kind) String() string { return [kinds]string{"tcp", "udp"}[k] }

// Offsets in a TCP header.
const (
	tcpSeqAt    = 4
	tcpAckAt    = 8
	tcpLenAt    = 12
	tcpFlagsAt  = 13
	tcpWindowAt = 14
	tcpUrgentAt = 18

	tcpPSH = 0x08
	tcpACK = 0x10
)

// dontFragment is the flag in the byte of an IPv4 header where the flags are.
const dontFragment = 0x40

// maxSuperpacket is the most bytes of a superpacket: the 16-bit length of IPv4.
const maxSuperpacket = 1<<16 - 1

// validSum is the sum over data with their right checksum.
const validSum = 0xffff

// A flow is what the packets that keep their order have in common: protocol,
// addresses and ports.
type flow struct {
	a, b, c, d uint64 // addresses; of IPv4 a alone
	m          uint64 // ports, protocol, IP version
}

func (f *flow) same(g *flow) bool {
	return f.m == g.m && f.a == g.a && f.b == g.b && f.c == g.c && f.d == g.d
}

// slot returns where the search for f begins in a table of slotCount.
func (f *flow) slot() uint8 {
	x := f.a ^ bits.RotateLeft64(f.b, 11) ^ bits.RotateLeft64(f.c, 23) ^ bits.RotateLeft64(f.d, 37)
	x = (x ^ x>>32 ^ f.m*0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd
	return uint8(x >> 56)
}

// read makes f the flow of an IP packet and returns its kind and where its
// transport header begins. It is not ok for a packet that is no flow here: neither
// TCP nor UDP, a fragment, one with IP options, extension headers or a length that
// is not its own.
func (f *flow) read(pkt []byte) (k kind, start int, ok bool) {
	proto := uint8(0)
	switch {
	case len(pkt) >= ipv4HeaderLen+udpHeaderLen && pkt[0] == 4<<4|ipv4HeaderLen/4:
		if pkt[6]&^dontFragment|pkt[7] != 0 || int(binary.BigEndian.Uint16(pkt[2:])) != len(pkt) {
			return 0, 0, false
		}
		start, proto = ipv4HeaderLen, pkt[9]
		f.a, f.b, f.c, f.d = binary.NativeEndian.Uint64(pkt[12:]), 0, 0, 0
		f.m = uint64(binary.NativeEndian.Uint32(pkt[20:]))<<16 | uint64(proto)<<8 | 4
	case len(pkt) >= ipv6HeaderLen+udpHeaderLen && pkt[0]>>4 == 6:
		if int(binary.BigEndian.Uint16(pkt[4:])) != len(pkt)-ipv6HeaderLen {
			return 0, 0, false
		}
		start, proto = ipv6HeaderLen, pkt[6]
		f.a, f.b = binary.NativeEndian.Uint64(pkt[8:]), binary.NativeEndian.Uint64(pkt[16:])
		f.c, f.d = binary.NativeEndian.Uint64(pkt[24:]), binary.NativeEndian.Uint64(pkt[32:])
		f.m = uint64(binary.NativeEndian.Uint32(pkt[40:]))<<16 | uint64(proto)<<8 | 6
	}
	switch proto {
	case protoUDP:
		return kindUDP, start, true
	case protoTCP:
		return kindTCP, start, len(pkt) >= start+tcpHeaderLen
	}
	return 0, 0, false
}

// headers returns the length of all headers of a packet that flow.read took, and
// whether it may be part of a superpacket. It has data; of TCP no flags but ACK and
// PSH; of UDP a checksum. Checksums that the kernel would write in their other
// form, 0xffff for 0, are left alone too: cutting must give the packet to the byte.
func headers(pkt []byte, k kind, start int) (header int, ok bool) {
	t := pkt[start:]
	if start == ipv4HeaderLen && pkt[10]&pkt[11] == 0xff {
		return 0, false
	}
	if k == kindUDP {
		return start + udpHeaderLen, len(t) > udpHeaderLen &&
			int(binary.BigEndian.Uint16(t[4:])) == len(t) && t[udpCsumOffset]|t[udpCsumOffset+1] != 0
	}
	n := int(t[tcpLenAt]>>4) * 4
	return start + n, n >= tcpHeaderLen && n < len(t) && t[tcpLenAt]&0x0f == 0 &&
		t[tcpFlagsAt]&^tcpPSH == tcpACK && t[tcpCsumOffset]&t[tcpCsumOffset+1] != 0xff
}

// valid reports whether the checksums of a packet that flow.read took are right. A
// superpacket's are not looked at any more.
func valid(pkt []byte, k kind, start int) bool {
	addresses, proto := 8, uint32(protoTCP)
	if k == kindUDP {
		proto = protoUDP
	}
	if start == ipv4HeaderLen {
		if ipv4Sum(pkt) != validSum {
			return false
		}
		addresses = 12
	}
	// Addresses and transport are next to each other: one sum over both.
	initial := proto + uint32(len(pkt)-start)
	return tun.Checksum(pkt[addresses:], uint16(initial>>16+initial)) == validSum
}

// ipv4Sum returns the sum over an IPv4 header without options.
func ipv4Sum(b []byte) uint16 {
	_ = b[ipv4HeaderLen-1]
	x, y := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	sum := x>>32 + x&0xffff_ffff + y>>32 + y&0xffff_ffff + uint64(binary.BigEndian.Uint32(b[16:]))
	sum = sum>>32 + sum&0xffff_ffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}
