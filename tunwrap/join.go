// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"encoding/binary"

	"github.com/tailscale/wireguard-go/tun"
)

// maxHeaders is the longest headers of a packet that can be merged.
const maxHeaders = ipv6HeaderLen + tcpMaxHeaderLen

// superpacket makes the headers in pkt, the first packet of r, those of all of r,
// whose last packet is last, and returns the virtio header that goes in front.
func (r *run) superpacket(pkt, last []byte) virtioHeader {
	h := virtioHeader{
		flags: virtioNeedsCsum, gsoType: virtioGSOUDPL4,
		hdrLen: uint16(r.header), gsoSize: uint16(r.payload),
		csumStart: uint16(r.start), csumOffset: udpCsumOffset,
	}
	proto, length := uint8(protoUDP), uint16(r.size-r.start)
	t := pkt[r.start:r.header]
	if r.kind == kindUDP {
		binary.BigEndian.PutUint16(t[4:], length)
	} else {
		proto = protoTCP
		h.gsoType, h.csumOffset = virtioGSOTCPv4, tcpCsumOffset
		t[tcpFlagsAt] |= last[r.start+tcpFlagsAt] & tcpPSH
	}
	src, dst := pkt[12:16], pkt[16:20]
	if r.start == ipv4HeaderLen {
		binary.BigEndian.PutUint16(pkt[2:], uint16(r.size))
		pkt[10], pkt[11] = 0, 0
		binary.BigEndian.PutUint16(pkt[10:], ^ipv4Sum(pkt))
	} else {
		if r.kind == kindTCP {
			h.gsoType = virtioGSOTCPv6
		}
		binary.BigEndian.PutUint16(pkt[4:], uint16(r.size-ipv6HeaderLen))
		src, dst = pkt[8:24], pkt[24:40]
	}
	// The kernel completes the sum of the pseudo header.
	binary.BigEndian.PutUint16(t[h.csumOffset:], tun.PseudoHeaderChecksum(proto, src, dst, length))
	return h
}
