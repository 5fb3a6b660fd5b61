// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"bytes"
	"encoding/binary"

	"github.com/tailscale/wireguard-go/tun"
)

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

// maxSuperpacket is the most bytes of a superpacket: the 16-bit length of IPv4.
const maxSuperpacket = 1<<16 - 1

// validSum is the sum over data with their right checksum.
const validSum = 0xffff

// A segment is a TCP segment with data that others may be merged with: no IP
// options, extension headers or fragments, no flags but ACK and PSH.
type segment struct {
	pkt    []byte
	start  int // of the TCP header
	header int // length of all headers
}

// parseSegment makes a segment of an IP packet, if it is one. Checksums are not
// looked at.
func parseSegment(pkt []byte) (s segment, ok bool) {
	switch {
	case len(pkt) > ipv4HeaderLen+tcpHeaderLen && pkt[0] == 4<<4|ipv4HeaderLen/4:
		const dontFragment = 0x40
		if pkt[9] != protoTCP || pkt[6]&^dontFragment != 0 || pkt[7] != 0 ||
			int(binary.BigEndian.Uint16(pkt[2:])) != len(pkt) {
			return s, false
		}
		s.start = ipv4HeaderLen
	case len(pkt) > ipv6HeaderLen+tcpHeaderLen && pkt[0]>>4 == 6:
		if pkt[6] != protoTCP || int(binary.BigEndian.Uint16(pkt[4:])) != len(pkt)-ipv6HeaderLen {
			return s, false
		}
		s.start = ipv6HeaderLen
	default:
		return s, false
	}
	tcp := pkt[s.start:]
	n := int(tcp[tcpLenAt]>>4) * 4
	s.pkt, s.header = pkt, s.start+n
	return s, n >= tcpHeaderLen && s.header < len(pkt) &&
		tcp[tcpLenAt]&0x0f == 0 && tcp[tcpFlagsAt]&^tcpPSH == tcpACK
}

func (s *segment) seq() uint32     { return binary.BigEndian.Uint32(s.pkt[s.start+tcpSeqAt:]) }
func (s *segment) pushes() bool    { return s.pkt[s.start+tcpFlagsAt]&tcpPSH != 0 }
func (s *segment) payload() int    { return len(s.pkt) - s.header }
func (s *segment) part() []byte    { return s.pkt[s.start:] }
func (s *segment) options() []byte { return s.pkt[s.start+tcpHeaderLen : s.header] }

// valid reports whether the checksums are right. A superpacket's are not looked at
// any more.
func (s *segment) valid() bool {
	src, dst := s.pkt[8:24], s.pkt[24:40]
	if s.start == ipv4HeaderLen {
		if tun.Checksum(s.pkt[:ipv4HeaderLen], 0) != validSum {
			return false
		}
		src, dst = s.pkt[12:16], s.pkt[16:20]
	}
	t := s.part()
	return tun.Checksum(t, tun.PseudoHeaderChecksum(protoTCP, src, dst, uint16(len(t)))) == validSum
}

// follows reports whether s may come after prev in a superpacket that begins with
// first. The rules are those by which the kernel merges (tcp_gro_receive and
// inet_gro_receive), so that it can be cut again into what it was made of.
func (s *segment) follows(prev, first *segment) bool {
	if s.start != first.start || s.header != first.header ||
		prev.payload() != first.payload() || s.payload() > first.payload() || prev.pushes() ||
		s.seq() != prev.seq()+uint32(prev.payload()) {
		return false
	}
	a, b := first.pkt, s.pkt
	if s.start == ipv4HeaderLen {
		// Type of service, don't fragment, time to live, addresses.
		if a[1] != b[1] || a[6] != b[6] || a[8] != b[8] || !bytes.Equal(a[12:20], b[12:20]) {
			return false
		}
		// Segments that may be fragmented need their own identification.
		id := func(p []byte) uint16 { return binary.BigEndian.Uint16(p[4:]) }
		if b[6] == 0 && id(b) != id(prev.pkt)+1 {
			return false
		}
	} else if a[7] != b[7] || !bytes.Equal(a[:4], b[:4]) || !bytes.Equal(a[8:40], b[8:40]) {
		return false // hop limit; class and flow label; addresses
	}
	t, u := first.part(), s.part()
	return bytes.Equal(t[:tcpSeqAt], u[:tcpSeqAt]) && // ports
		bytes.Equal(t[tcpAckAt:tcpLenAt], u[tcpAckAt:tcpLenAt]) &&
		bytes.Equal(t[tcpWindowAt:tcpWindowAt+2], u[tcpWindowAt:tcpWindowAt+2]) &&
		bytes.Equal(t[tcpUrgentAt:tcpHeaderLen], u[tcpUrgentAt:tcpHeaderLen]) &&
		bytes.Equal(first.options(), s.options())
}

// mergeable returns how many of the packets at the start of bufs, which begin at
// offset, can be written as one superpacket: TCP segments of one flow that follow
// each other, of equal size but for the last. It is 1 when nothing can be merged.
func mergeable(bufs [][]byte, offset int) (n int) {
	first, ok := parseSegment(bufs[0][offset:])
	if !ok || len(bufs) == 1 {
		return 1
	}
	prev, size := first, len(first.pkt)
	for n = 1; n < len(bufs); n++ {
		s, ok := parseSegment(bufs[n][offset:])
		if !ok || !s.follows(&prev, &first) || size+s.payload() > maxSuperpacket {
			break
		}
		if n == 1 && !first.valid() || !s.valid() {
			break
		}
		size += s.payload()
		prev = s
	}
	return n
}

// superpacket makes the headers of s those of a superpacket of size bytes whose
// last segment is last, and returns the virtio header for it.
func (s *segment) superpacket(size int, last []byte) virtioHeader {
	h := virtioHeader{
		flags: virtioNeedsCsum, gsoType: virtioGSOTCPv4,
		hdrLen: uint16(s.header), gsoSize: uint16(s.payload()),
		csumStart: uint16(s.start), csumOffset: tcpCsumOffset,
	}
	ip, src, dst := s.pkt, s.pkt[8:24], s.pkt[24:40]
	if s.start == ipv4HeaderLen {
		binary.BigEndian.PutUint16(ip[2:], uint16(size))
		ip[10], ip[11] = 0, 0
		binary.BigEndian.PutUint16(ip[10:], ^tun.Checksum(ip[:ipv4HeaderLen], 0))
		src, dst = ip[12:16], ip[16:20]
	} else {
		h.gsoType = virtioGSOTCPv6
		binary.BigEndian.PutUint16(ip[4:], uint16(size-ipv6HeaderLen))
	}
	t := s.part()
	t[tcpFlagsAt] |= last[s.start+tcpFlagsAt] & tcpPSH
	// The kernel completes the sum of the pseudo header.
	binary.BigEndian.PutUint16(t[tcpCsumOffset:], tun.PseudoHeaderChecksum(protoTCP, src, dst, uint16(size-s.start)))
	return h
}
