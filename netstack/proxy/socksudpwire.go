// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// socksUDPReserved is the part of the header in front of the target.
const socksUDPReserved = 3

// errSocksDatagram means that a datagram has no header of SOCKS 5.
var errSocksDatagram = errors.New("socks: no header in front of a datagram")

// socksDatagram is what a client sends through the relay (RFC 1928, section 7).
//
//	+-----+------+--------+------+
//	| RSV | FRAG | TARGET | DATA |
//	+-----+------+--------+------+
//	|  2  |  1   |        |      |
//	+-----+------+--------+------+
type socksDatagram struct {
	fragment byte
	addr     netip.Addr // invalid: name
	name     []byte     // part of the datagram; at least one byte
	port     uint16
	data     []byte // part of the datagram
}

// parse sets every field of d from a datagram, whose reserved bytes are not
// looked at.
func (d *socksDatagram) parse(b []byte) error {
	*d = socksDatagram{}
	if len(b) < socksUDPReserved+1 {
		return errSocksDatagram
	}
	fragment, kind := b[2], b[3]
	b = b[socksUDPReserved+1:]
	var n int
	switch kind {
	case socksIPv4:
		n = 4
	case socksIPv6:
		n = 16
	case socksDomain:
		if len(b) == 0 || b[0] == 0 {
			return errSocksDatagram
		}
		n, b = int(b[0]), b[1:]
	default:
		return errSocksDatagram
	}
	if len(b) < n+2 {
		return errSocksDatagram
	}
	if kind == socksDomain {
		d.name = b[:n:n]
	} else {
		a, _ := netip.AddrFromSlice(b[:n])
		d.addr = a.Unmap()
	}
	d.fragment = fragment
	d.port = binary.BigEndian.Uint16(b[n:])
	d.data = b[n+2:]
	return nil
}

// appendSocksUDPHeader appends the header of a datagram from or for target.
func appendSocksUDPHeader(b []byte, target socksTarget) []byte {
	return target.appendTo(append(b, 0, 0, 0))
}
