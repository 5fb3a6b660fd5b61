// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

import (
	"encoding/binary"
	"net/netip"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

const udpHeaderLen = 8

// defaultTTL is that of Linux (net.ipv4.ip_default_ttl).
const defaultTTL = 64

// setEnds keeps the addresses of a datagram.
func (m *meta) setEnds(local, remote netip.AddrPort) {
	m.v6 = remote.Addr().Is6()
	m.remote, m.remotePort = remote.Addr().As16(), remote.Port()
	m.localPort = local.Port()
	if local.Addr().IsValid() && !local.Addr().IsUnspecified() {
		m.localKnown, m.local = true, local.Addr().As16()
	}
}

// remoteAddr returns the address of the other end, without a zone.
func (m *meta) remoteAddr() netip.Addr {
	a := netip.AddrFrom16(m.remote)
	if !m.v6 {
		a = a.Unmap()
	}
	return a
}

// headersLen is the length of the headers that a datagram is given.
func (m *meta) headersLen() int {
	if m.v6 {
		return inner.IPv6HeaderLen + udpHeaderLen
	}
	return inner.IPv4HeaderLen + udpHeaderLen
}

// appendHeaders appends the headers of a datagram whose payload adds up to sum.
func (m *meta) appendHeaders(b []byte, local [16]byte, sum uint16) []byte {
	src, dst, from, to := m.remote, local, m.remotePort, m.localPort
	if m.sent {
		src, dst, from, to = dst, src, to, from
	}
	begin := len(b)
	length := udpHeaderLen + int(m.length)
	var ends []byte
	if m.v6 {
		b = append(b, 6<<4, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
		b = append(b, inner.UDP, defaultTTL)
		b = append(append(b, src[:]...), dst[:]...)
		ends = b[len(b)-32:]
	} else {
		b = append(b, 4<<4|inner.IPv4HeaderLen/4, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(inner.IPv4HeaderLen+length))
		b = append(b, 0, 0, 0x40, 0, defaultTTL, inner.UDP, 0, 0) // not to be fragmented
		b = append(append(b, src[12:]...), dst[12:]...)
		ends = b[len(b)-8:]
		binary.BigEndian.PutUint16(b[begin+10:], ^inner.Sum(b[begin:], 0))
	}
	// RFC 768: addresses, protocol and length count, and 0 is written as its complement.
	check := inner.Sum(ends, uint32(sum)+inner.UDP+uint32(length)+uint32(length)+uint32(from)+uint32(to))
	if check = ^check; check == 0 {
		check = 0xffff
	}
	b = binary.BigEndian.AppendUint16(b, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	return binary.BigEndian.AppendUint16(b, check)
}
