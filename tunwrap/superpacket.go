// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"encoding/binary"
	"errors"

	"github.com/tailscale/wireguard-go/tun"
)

// The header that the kernel puts in front of every packet of a TUN device with
// IFF_VNET_HDR, struct virtio_net_hdr of include/uapi/linux/virtio_net.h, in
// the byte order of the machine:
//
//	 0       1       2       4       6       8       10
//	+-------+-------+-------+-------+-------+-------+
//	| flags |  GSO  |  hdr  |  GSO  | csum  | csum  |  IP packet ...
//	|       | type  |  len  | size  | start | offset|
//	+-------+-------+-------+-------+-------+-------+
const virtioHeaderLen = 10

// Values of the header. With the offloads that wireguard-go asks for the kernel
// sends no others: no ECN bit, no UDP fragmentation, no tunnelled segments.
const (
	virtioNeedsCsum = 1 // bit in flags: the checksum field holds the pseudo-header sum

	virtioGSONone  = 0
	virtioGSOTCPv4 = 1
	virtioGSOTCPv6 = 4
	virtioGSOUDPL4 = 5
)

// Header sizes and field offsets.
const (
	ipv4HeaderLen   = 20
	ipv6HeaderLen   = 40
	udpHeaderLen    = 8
	tcpHeaderLen    = 20
	tcpMaxHeaderLen = 60

	tcpCsumOffset = 16
	tcpLastFlags  = 0x01 | 0x08 // FIN and PSH: of a superpacket's last segment only
	udpCsumOffset = 6

	protoTCP = 6
	protoUDP = 17
)

const (
	// maxMessage is the most that one segmented UDP message carries over IPv6 in a
	// VLAN, see maxSegmented6 of package batching.
	maxMessage = 1<<16 - 1 - 18 - ipv6HeaderLen - udpHeaderLen
	// wireguardOverhead is what WireGuard adds to a packet of the size of the MTU:
	// 16 bytes of header and 16 of authentication.
	wireguardOverhead = 32
)

type virtioHeader struct {
	flags, gsoType                         uint8
	hdrLen, gsoSize, csumStart, csumOffset uint16
}

// decode overwrites h with the first virtioHeaderLen bytes of b.
func (h *virtioHeader) decode(b []byte) {
	_ = b[virtioHeaderLen-1]
	h.flags, h.gsoType = b[0], b[1]
	h.hdrLen = binary.NativeEndian.Uint16(b[2:])
	h.gsoSize = binary.NativeEndian.Uint16(b[4:])
	h.csumStart = binary.NativeEndian.Uint16(b[6:])
	h.csumOffset = binary.NativeEndian.Uint16(b[8:])
}

// encode writes h to the first virtioHeaderLen bytes of b.
func (h *virtioHeader) encode(b []byte) {
	_ = b[virtioHeaderLen-1]
	b[0], b[1] = h.flags, h.gsoType
	binary.NativeEndian.PutUint16(b[2:], h.hdrLen)
	binary.NativeEndian.PutUint16(b[4:], h.gsoSize)
	binary.NativeEndian.PutUint16(b[6:], h.csumStart)
	binary.NativeEndian.PutUint16(b[8:], h.csumOffset)
}

// errMalformed means the header contradicts the packet behind it: drop it.
var errMalformed = errors.New("tunwrap: virtio header does not fit the packet")

// completeChecksum finishes the checksum that the kernel left to the device:
// the field holds the pseudo-header sum, everything from start on is to be
// added. A zero result is stored as 0xffff, its equal, because zero in a UDP
// header means that there is none, which IPv6 forbids (RFC 8200 section 8.1).
func completeChecksum(pkt []byte, start, offset int) error {
	at := start + offset
	if at+2 > len(pkt) {
		return errMalformed
	}
	initial := binary.BigEndian.Uint16(pkt[at:])
	pkt[at], pkt[at+1] = 0, 0
	sum := ^tun.Checksum(pkt[start:], initial)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(pkt[at:], sum)
	return nil
}

// A superpacket is an IP packet on its way into a slab: one that the kernel left
// to us to cut into segments of one flow, or, when opts.GSOType is
// [tun.GSONone], a finished one that goes as it is. Its zero value is none.
type superpacket struct {
	data []byte // the IP packet, in the slab or in the carry buffer
	opts tun.GSOOptions
}

// parse makes s of the packet pkt with the virtio header h, and finishes its
// checksum if it is not to be cut. s keeps pkt. On an error s is none.
//
// The kernel's header length is not used: it is that of the whole first buffer
// when the packet was forwarded. It is computed from the transport header.
func (s *superpacket) parse(h *virtioHeader, pkt []byte) error {
	*s = superpacket{}
	if len(pkt) == 0 {
		return errMalformed
	}
	start := int(h.csumStart)
	header := 0
	var typ tun.GSOType
	switch h.gsoType {
	case virtioGSONone:
		return s.single(h, pkt)
	case virtioGSOTCPv4, virtioGSOTCPv6:
		if typ = tun.GSOTCPv4; h.gsoType == virtioGSOTCPv6 {
			typ = tun.GSOTCPv6
		}
		if h.csumOffset != tcpCsumOffset || len(pkt) < start+tcpHeaderLen {
			return errMalformed
		}
		n := int(pkt[start+12]>>4) * 4
		if n < tcpHeaderLen || n > tcpMaxHeaderLen {
			return errMalformed
		}
		header = start + n
	case virtioGSOUDPL4:
		typ = tun.GSOUDPL4
		if h.csumOffset != udpCsumOffset {
			return errMalformed
		}
		header = start + udpHeaderLen
	default:
		return errMalformed
	}
	if h.gsoSize == 0 || header > len(pkt) || header > 0xffff {
		return errMalformed
	}
	switch pkt[0] >> 4 {
	case 4:
		if start < ipv4HeaderLen || start != int(pkt[0]&15)*4 || typ == tun.GSOTCPv6 {
			return errMalformed
		}
	case 6:
		if start < ipv6HeaderLen || typ == tun.GSOTCPv4 {
			return errMalformed
		}
	default:
		return errMalformed
	}
	if len(pkt)-header < int(h.gsoSize) {
		return s.single(h, pkt) // nothing to cut
	}
	*s = superpacket{data: pkt, opts: tun.GSOOptions{
		GSOType:    typ,
		HdrLen:     uint16(header),
		CsumStart:  h.csumStart,
		CsumOffset: h.csumOffset,
		GSOSize:    h.gsoSize,
		NeedsCsum:  true,
	}}
	return nil
}

func (s *superpacket) single(h *virtioHeader, pkt []byte) error {
	if h.flags&virtioNeedsCsum != 0 {
		if err := completeChecksum(pkt, int(h.csumStart), int(h.csumOffset)); err != nil {
			return err
		}
	}
	s.data = pkt
	return nil
}

func (s *superpacket) none() bool     { return s.data == nil }
func (s *superpacket) finished() bool { return s.opts.GSOType == tun.GSONone }

// segments returns how many packets s makes.
func (s *superpacket) segments() int {
	if s.finished() {
		return 1
	}
	payload, size := len(s.data)-int(s.opts.HdrLen), int(s.opts.GSOSize)
	return (payload + size - 1) / size
}

// room returns how many bytes of slab all of s needs, spacing at both ends
// included.
func (s *superpacket) room() int {
	if s.finished() {
		return len(s.data) + 2*spacing
	}
	n := s.segments()
	return len(s.data) + (n-1)*int(s.opts.HdrLen) + (n+1)*spacing
}

// split puts as many packets of s as fit into slab, the first at slab[spacing],
// and describes them in packets. It returns their number; s is what remains, or
// none. The data of s may be at slab[spacing:] only if all of it fits.
func (s *superpacket) split(slab []byte, packets []tun.ReadPacket) (n int, err error) {
	if s.finished() {
		if len(packets) == 0 || s.room() > len(slab) {
			return 0, nil
		}
		copy(slab[spacing:], s.data)
		packets[0] = tun.ReadPacket{Offset: spacing, Size: len(s.data)}
		*s = superpacket{}
		return 1, nil
	}
	n, err = tun.GSOSplit(s.data, s.opts, slab, packets, spacing)
	if err != nil && !errors.Is(err, tun.ErrTooManySegments) {
		return 0, err
	}
	s.repair(slab, packets[:n])
	if err == nil {
		*s = superpacket{}
	} else {
		s.advance(n)
	}
	return n, nil
}

// repair corrects what GSOSplit gets wrong in the segments it made: a UDP
// checksum that comes out as zero, which means "none", and the payload length
// of an IPv6 packet with extension headers, which leaves them out. The first
// segment begins where s.data did if that was in the slab, so the first byte of
// s.data, the IP version, is good in any case.
func (s *superpacket) repair(slab []byte, packets []tun.ReadPacket) {
	udp := s.opts.GSOType == tun.GSOUDPL4
	extended := s.data[0]>>4 == 6 && s.opts.CsumStart != ipv6HeaderLen
	if !udp && !extended {
		return
	}
	at := int(s.opts.CsumStart) + udpCsumOffset
	for _, p := range packets {
		out := slab[p.Offset : p.Offset+p.Size]
		if udp && out[at] == 0 && out[at+1] == 0 {
			out[at], out[at+1] = 0xff, 0xff
		}
		if extended {
			binary.BigEndian.PutUint16(out[4:], uint16(len(out)-ipv6HeaderLen))
		}
	}
}

// perMessage returns how many segments of s the network side can send as one
// message, when WireGuard has made packets of them.
func (s *superpacket) perMessage() int {
	return maxMessage / (int(s.opts.HdrLen) + int(s.opts.GSOSize) + wireguardOverhead)
}

// cut leaves the first n segments in s, n less than all of them, and returns the
// rest, which it copies to carry.
func (s *superpacket) cut(n int, carry []byte) (rest superpacket) {
	header := int(s.opts.HdrLen)
	at := header + n*int(s.opts.GSOSize)
	size := copy(carry, s.data[:header])
	size += copy(carry[size:], s.data[at:])
	rest = superpacket{data: carry[:size], opts: s.opts}
	rest.describe(n)
	s.data = s.data[:at]
	if s.opts.GSOType != tun.GSOUDPL4 {
		s.data[int(s.opts.CsumStart)+13] &^= tcpLastFlags // those of the last segment
	}
	return rest
}

// advance takes the first n of the segments of s away, n less than all of them:
// the headers move up to the payload that remains, over payload that was
// already copied out.
func (s *superpacket) advance(n int) {
	if n == 0 {
		return
	}
	taken := n * int(s.opts.GSOSize)
	copy(s.data[taken:], s.data[:s.opts.HdrLen])
	s.data = s.data[taken:]
	s.describe(n)
}

// describe makes the headers of s, from which the payload of the first n segments
// was taken away, describe what is there.
func (s *superpacket) describe(n int) {
	header, start := int(s.opts.HdrLen), int(s.opts.CsumStart)
	taken := n * int(s.opts.GSOSize)
	pkt := s.data

	addresses, proto := pkt[8:40], uint8(protoTCP)
	if pkt[0]>>4 == 4 {
		addresses = pkt[12:20]
		binary.BigEndian.PutUint16(pkt[2:], uint16(len(pkt)))
		binary.BigEndian.PutUint16(pkt[4:], binary.BigEndian.Uint16(pkt[4:])+uint16(n))
		pkt[10], pkt[11] = 0, 0
		binary.BigEndian.PutUint16(pkt[10:], ^tun.Checksum(pkt[:start], 0))
	} else {
		binary.BigEndian.PutUint16(pkt[4:], uint16(len(pkt)-ipv6HeaderLen))
	}
	if s.opts.GSOType == tun.GSOUDPL4 {
		proto = protoUDP
		binary.BigEndian.PutUint16(pkt[start+4:], uint16(len(pkt)-start))
	} else {
		seq := binary.BigEndian.Uint32(pkt[start+4:])
		binary.BigEndian.PutUint32(pkt[start+4:], seq+uint32(taken))
	}
	if len(pkt)-header >= int(s.opts.GSOSize) {
		return // GSOSplit computes the transport checksum from scratch
	}
	// The last, shorter segment is a packet of its own.
	half := len(addresses) / 2
	sum := tun.PseudoHeaderChecksum(proto, addresses[:half], addresses[half:], uint16(len(pkt)-start))
	at := start + int(s.opts.CsumOffset)
	binary.BigEndian.PutUint16(pkt[at:], sum)
	// The field is inside the header that parse checked, so this cannot fail.
	_ = completeChecksum(pkt, start, int(s.opts.CsumOffset))
	s.opts = tun.GSOOptions{}
}
