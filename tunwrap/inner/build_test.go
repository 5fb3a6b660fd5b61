// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package inner_test

import (
	"encoding/binary"
	"net/netip"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// Addresses of the examples.
const (
	a4, b4 = "192.0.2.1", "198.51.100.2"
	a6, b6 = "2001:db8::1", "2001:db8:1::2"
)

// ip4 returns an IPv4 packet around payload, with so many bytes of options.
func ip4(protocol uint8, options int, payload ...byte) []byte {
	header := inner.IPv4HeaderLen + options
	b := make([]byte, header, header+len(payload))
	b[0] = 4<<4 | uint8(header/4)
	b[8], b[9] = 64, protocol
	copy(b[12:], netip.MustParseAddr(a4).AsSlice())
	copy(b[16:], netip.MustParseAddr(b4).AsSlice())
	return seal4(append(b, payload...))
}

// seal4 writes the length and the checksum of the header.
func seal4(b []byte) []byte {
	header := int(b[0]&15) * 4
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], ^inner.Sum(b[:header], 0))
	return b
}

// fragment4 makes b a fragment.
func fragment4(b []byte, id uint16, offset int, more bool) []byte {
	binary.BigEndian.PutUint16(b[4:], id)
	field := uint16(offset / 8)
	if more {
		field |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], field)
	return seal4(b)
}

// ip6 returns an IPv6 packet around payload.
func ip6(next uint8, payload ...byte) []byte {
	b := make([]byte, inner.IPv6HeaderLen, inner.IPv6HeaderLen+len(payload))
	b[0], b[6], b[7] = 6<<4, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	copy(b[8:], netip.MustParseAddr(a6).AsSlice())
	copy(b[24:], netip.MustParseAddr(b6).AsSlice())
	return append(b, payload...)
}

// extension returns an extension header of 8*(units+1) bytes.
func extension(next, units uint8) []byte {
	b := make([]byte, 8*(int(units)+1))
	b[0], b[1] = next, units
	return b
}

// fragment6 returns a fragment header.
func fragment6(next uint8, id uint32, offset int, more bool) []byte {
	b := make([]byte, 8)
	b[0] = next
	field := uint16(offset)
	if more {
		field |= 1
	}
	binary.BigEndian.PutUint16(b[2:], field)
	binary.BigEndian.PutUint32(b[4:], id)
	return b
}

// tcp returns a header of TCP with so many bytes of options.
func tcp(flags uint8, options int) []byte {
	b := make([]byte, 20+options)
	binary.BigEndian.PutUint16(b, 1000)
	binary.BigEndian.PutUint16(b[2:], 443)
	b[12], b[13] = uint8(len(b)/4)<<4, flags
	return b
}

func udp() []byte { return []byte{3, 232, 0, 53, 0, 8, 0, 0} } // 1000 to 53

func icmp(kind, code uint8, id uint16) []byte {
	return []byte{kind, code, 0, 0, byte(id >> 8), byte(id), 0, 1}
}

func cat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
