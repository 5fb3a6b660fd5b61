// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"encoding/binary"
	"math/bits"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// An address is 16 bytes of IPv6, or 4 of IPv4 at the end, in big endian order.
type address [2]uint64

// A tuple is what a packet is recognised by. It has no holes, so that == compares
// 47 bytes at once.
type tuple struct {
	src, dst         address
	from, to         Party
	srcPort, dstPort uint16 // of echo the identifier, twice
	protocol         uint8
	v6               bool
	asks             bool // echo: a request, and not the answer to one
}

// read makes t that of a packet with a transport header, without ports if it has
// none. It reports false for bytes that p cannot have been parsed from.
func (t *tuple) read(p *inner.Packet, pkt []byte, from, to Party) bool {
	if !t.addresses(pkt) {
		return false
	}
	t.from, t.to, t.protocol = from, to, p.Protocol
	t.srcPort, t.dstPort, t.asks = 0, 0, false
	switch p.Protocol {
	case inner.TCP, inner.UDP:
		t.srcPort, t.dstPort = p.SrcPort, p.DstPort
	case inner.ICMP, inner.ICMPv6:
		t.srcPort, t.dstPort = p.Echo, p.Echo
		t.asks = isEchoRequest(t.v6, p.Type)
	}
	return true
}

// addresses reads the addresses of an IP packet or of the beginning of one.
func (t *tuple) addresses(pkt []byte) bool {
	switch {
	case len(pkt) >= inner.IPv4HeaderLen && pkt[0]>>4 == 4:
		t.v6 = false
		t.src = address{0, uint64(binary.BigEndian.Uint32(pkt[12:]))}
		t.dst = address{0, uint64(binary.BigEndian.Uint32(pkt[16:]))}
	case len(pkt) >= inner.IPv6HeaderLen && pkt[0]>>4 == 6:
		t.v6 = true
		t.src = address{binary.BigEndian.Uint64(pkt[8:]), binary.BigEndian.Uint64(pkt[16:])}
		t.dst = address{binary.BigEndian.Uint64(pkt[24:]), binary.BigEndian.Uint64(pkt[32:])}
	default:
		return false
	}
	return true
}

// reverse returns the tuple of the answers.
func (t *tuple) reverse() tuple {
	r := *t
	r.src, r.dst = t.dst, t.src
	r.from, r.to = t.to, t.from
	r.srcPort, r.dstPort = t.dstPort, t.srcPort
	if t.protocol == inner.ICMP || t.protocol == inner.ICMPv6 {
		// A request in the direction of the answers is of another flow.
		r.asks = !t.asks
	}
	return r
}

// begins reports whether a packet of t may make a flow: not the answer to an echo, as
// that would let through questions.
func (t *tuple) begins() bool {
	return t.asks || t.protocol != inner.ICMP && t.protocol != inner.ICMPv6
}

// canonical returns the one of t and its reverse that both directions have in
// common, and whether it is the reverse.
func (t *tuple) canonical() (key tuple, reversed bool) {
	if t.less() {
		return *t, false
	}
	return t.reverse(), true
}

// less orders the two ends: whether the source comes first, or they are the same.
func (t *tuple) less() bool {
	switch {
	case t.src[1] != t.dst[1]:
		return t.src[1] < t.dst[1]
	case t.src[0] != t.dst[0]:
		return t.src[0] < t.dst[0]
	case t.srcPort != t.dstPort:
		return t.srcPort < t.dstPort
	}
	return t.from <= t.to
}

// A seed makes a hash that nobody outside can foresee.
type seed [3]uint64

// hash mixes all of t (as wyhash does, https://github.com/wangyi-fudan/wyhash).
func (s *seed) hash(t *tuple) uint64 {
	h := mix(t.src[0]^s[0], t.dst[0]^s[1])
	h ^= mix(t.src[1]^s[1], t.dst[1]^s[2])
	ends := uint64(t.from)<<32 | uint64(t.to)
	rest := uint64(t.srcPort)<<32 | uint64(t.dstPort)<<16 | uint64(t.protocol)<<8
	if t.v6 {
		rest |= 1
	}
	return mix(h^s[2]^ends, rest^s[0])
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
