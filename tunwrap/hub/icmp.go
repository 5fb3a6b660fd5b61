// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"encoding/binary"
	"net/netip"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// An icmpError is an error that a router reports to the source of a packet.
type icmpError uint8

const (
	timeExceeded icmpError = iota // the hop limit ended here
	tooBig                        // larger than the MTU, and not to be fragmented
)

// Sizes of ICMP messages. An error quotes as much of the packet as fits: 576 bytes
// in all over IPv4 (RFC 1812 section 4.3.2.3), 1280 over IPv6 (RFC 4443 section 2.4).
const (
	icmpHeaderLen = 8
	maxError4     = 576
	maxError6     = 1280

	errorHopLimit = 64
)

// dummy4 is what a router without an IPv4 address sends ICMP errors from (RFC 7600).
var dummy4 = netip.AddrFrom4([4]byte{192, 0, 0, 8})

// answer sends an ICMP error about pkt, of which w.packet says what it is, back to
// the peer it came from. It does nothing where RFC 1812 section 4.3.2.7 and RFC 4443
// section 2.4 (e) forbid it, or the peer has had its share.
func (d *Device) answer(w *work, v *view, pkt []byte, from *lane, what icmpError, mtu int) {
	p := &w.packet
	if p.IsError() || p.Offset > 0 || p.Transport == 0 && (p.Protocol == inner.ICMP || p.Protocol == inner.ICMPv6) {
		return
	}
	if !from.errors.Allow() {
		d.counters.icmpLimited.Add(1)
		return
	}
	var msg []byte
	switch {
	case p.Src.Is4():
		src := v.addr4
		if !src.IsValid() {
			src = dummy4
		}
		msg = error4(pkt, src, what, mtu)
	case v.addr6.IsValid():
		msg = error6(pkt, v.addr6, what, mtu)
	default:
		return
	}
	d.counters.icmpSent.Add(1)
	w.out = append(w.out, routed{from, msg})
}

// error4 makes an ICMP error (RFC 792, RFC 1191).
func error4(pkt []byte, src netip.Addr, what icmpError, mtu int) []byte {
	const header = inner.IPv4HeaderLen
	quote := min(len(pkt), maxError4-header-icmpHeaderLen)
	m := make([]byte, header+icmpHeaderLen+quote)
	m[0] = 4<<4 | header/4
	m[1] = 6 << 5 // internetwork control (RFC 1812 section 4.3.2.5)
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)))
	m[8], m[9] = errorHopLimit, inner.ICMP
	copy(m[12:], src.AsSlice())
	copy(m[16:], pkt[12:16])
	binary.BigEndian.PutUint16(m[10:], ^inner.Sum(m[:header], 0))

	icmp := m[header:]
	switch what {
	case timeExceeded:
		icmp[0] = 11
	case tooBig:
		icmp[0], icmp[1] = 3, 4
		binary.BigEndian.PutUint16(icmp[6:], uint16(mtu))
	}
	copy(icmp[icmpHeaderLen:], pkt[:quote])
	binary.BigEndian.PutUint16(icmp[2:], ^inner.Sum(icmp, 0))
	return m
}

// error6 makes an ICMPv6 error (RFC 4443 section 3).
func error6(pkt []byte, src netip.Addr, what icmpError, mtu int) []byte {
	const header = inner.IPv6HeaderLen
	quote := min(len(pkt), maxError6-header-icmpHeaderLen)
	m := make([]byte, header+icmpHeaderLen+quote)
	m[0] = 6 << 4
	binary.BigEndian.PutUint16(m[4:], uint16(len(m)-header))
	m[6], m[7] = inner.ICMPv6, errorHopLimit
	copy(m[8:], src.AsSlice())
	copy(m[24:], pkt[8:24])

	icmp := m[header:]
	switch what {
	case timeExceeded:
		icmp[0] = 3
	case tooBig:
		icmp[0] = 2
		binary.BigEndian.PutUint32(icmp[4:], uint32(mtu))
	}
	copy(icmp[icmpHeaderLen:], pkt[:quote])
	// The pseudo header: addresses, length, protocol (RFC 8200 section 8.1).
	pseudo := uint32(inner.Sum(m[8:40], uint32(len(icmp))+inner.ICMPv6))
	binary.BigEndian.PutUint16(icmp[2:], ^inner.Sum(icmp, pseudo))
	return m
}
