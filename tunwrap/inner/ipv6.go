// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package inner

import (
	"encoding/binary"
	"net/netip"
)

// Extension headers of IPv6 that may be stepped over (RFC 8200 section 4, RFC
// 4302, RFC 7401, RFC 5533).
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	authHeader  = 51
	destOptions = 60
	mobility    = 135
	hip         = 139
	shim6       = 140
)

// maxExtensions is how many are followed: honest packets have one or two.
const maxExtensions = 8

func (p *Packet) parse6(pkt []byte) Problem {
	if len(pkt) < IPv6HeaderLen {
		return Short
	}
	if int(binary.BigEndian.Uint16(pkt[4:])) != len(pkt)-IPv6HeaderLen {
		return Length
	}
	p.Src = netip.AddrFrom16([16]byte(pkt[8:24]))
	p.Dst = netip.AddrFrom16([16]byte(pkt[24:40]))
	if p.Src.Is4In6() || p.Dst.Is4In6() {
		return Header // may not be on any wire (RFC 4291 section 2.5.5.2)
	}
	p.HopLimit, p.Protocol, p.DontFragment = pkt[7], pkt[6], true
	at := IPv6HeaderLen
	for n := 0; ; n++ {
		size := 0
		switch p.Protocol {
		case hopByHop, routing, destOptions, mobility, hip, shim6:
			if len(pkt)-at >= 8 {
				size = int(pkt[at+1])*8 + 8
			}
		case authHeader:
			if len(pkt)-at >= 8 {
				size = int(pkt[at+1])*4 + 8
			}
		case fragment:
			if len(pkt)-at < 8 {
				return Short
			}
			field := binary.BigEndian.Uint16(pkt[at+2:])
			p.ID = binary.BigEndian.Uint32(pkt[at+4:])
			// A second fragment header would be one inside of a fragment.
			if p.Fragment {
				return Header
			}
			if problem := p.fragment(int(field&^7), field&1 != 0, len(pkt)-at-8, at-IPv6HeaderLen); problem != OK {
				return problem
			}
			p.Protocol = pkt[at]
			at += 8
			if p.Offset > 0 {
				return OK // what follows is not a header
			}
			continue
		default:
			p.transport(pkt, at)
			return OK
		}
		switch {
		case n == maxExtensions:
			return Header
		case size == 0 || size > len(pkt)-at:
			if p.Fragment {
				return OK // the rest of the chain is in another fragment (RFC 7112 forbids it)
			}
			return Short
		}
		p.Protocol = pkt[at]
		at += size
	}
}
