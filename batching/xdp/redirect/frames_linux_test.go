// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

const testPort = 51820

// The addresses of the tests: ours in either family, and one that is not.
func our4() netip.Addr   { return netip.MustParseAddr("10.9.0.1") }
func our6() netip.Addr   { return netip.MustParseAddr("fd00:9::1") }
func their4() netip.Addr { return netip.MustParseAddr("10.9.0.2") }

const testVLAN = 0x164 // 356: bits in both bytes

// testModel has everything that the test program is loaded with.
func testModel() *model {
	return &model{port: testPort, addresses: []netip.Addr{our4(), our6()}, socket: true}
}

// vlanModel is testModel in a VLAN.
func vlanModel() *model {
	m := testModel()
	m.vlan = testVLAN
	return m
}

// shortModel redirects the smaller ones of the test frames only.
func shortModel() *model {
	m := testModel()
	m.maxFrame = 80
	return m
}

// datagram returns the frame of a datagram to our port and the address, with tags
// of priority 1 and no VLAN in front of IP, payload of n bytes and 4 bytes of Ethernet
// padding.
func datagram(dst netip.Addr, n int, tags ...uint16) []byte {
	frame := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, tag := range tags {
		frame = append(binary.BigEndian.AppendUint16(frame, tag), 0x20, 0)
	}
	length := uint16(8 + n)
	if dst.Is4() {
		frame = binary.BigEndian.AppendUint16(frame, typeIPv4)
		at := len(frame)
		frame = append(frame, 0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, 17, 0, 0, 10, 9, 0, 2)
		frame = append(frame, dst.AsSlice()...)
		binary.BigEndian.PutUint16(frame[at+2:], 20+length)
		seal(frame[at:])
	} else {
		frame = binary.BigEndian.AppendUint16(frame, typeIPv6)
		frame = append(frame, 0x60, 0, 0, 0)
		frame = binary.BigEndian.AppendUint16(frame, length)
		frame = append(frame, 17, 64)
		frame = append(frame, netip.MustParseAddr("fd00:9::2").AsSlice()...)
		frame = append(frame, dst.AsSlice()...)
	}
	for _, v := range []uint16{40000, testPort, length, 0xbeef} {
		frame = binary.BigEndian.AppendUint16(frame, v)
	}
	return append(frame, slices.Repeat([]byte{0xa5}, n+4)...)
}

// seal writes the checksum of an IPv4 header.
func seal(ip []byte) {
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:20]))
}

// resealed returns a copy of the frame with a right IPv4 header checksum, if it has
// an IPv4 header.
func resealed(frame []byte) []byte {
	frame = slices.Clone(frame)
	at := 14
	if len(frame) > 18 && (frame[12] == 0x81 || frame[12] == 0x88) {
		at = 18
	}
	if len(frame) >= at+20 && frame[at-2] == 0x08 {
		seal(frame[at:])
	}
	return frame
}

// inVLAN returns a copy of a frame in which the first tag has the identifier.
func inVLAN(frame []byte, id uint16) []byte {
	return put(frame, 14, frame[14]&0xf0|byte(id>>8), byte(id))
}

// ours returns a frame of each kind that is redirected.
func (m *model) ours() map[string][]byte {
	if m.vlan != 0 {
		return map[string][]byte{
			"v4 802.1Q": inVLAN(datagram(our4(), 32, typeVLAN), m.vlan),
			"v4 QinQ":   inVLAN(datagram(our4(), 32, typeQinQ), m.vlan),
			"v6 802.1Q": inVLAN(datagram(our6(), 32, typeVLAN), m.vlan),
		}
	}
	return map[string][]byte{
		"v4":        datagram(our4(), 32),
		"v4 empty":  datagram(our4(), 0),
		"v4 large":  datagram(our4(), 1452),
		"v4 802.1Q": datagram(our4(), 32, typeVLAN),
		"v6":        datagram(our6(), 32),
		"v6 empty":  datagram(our6(), 0),
		"v6 802.1Q": datagram(our6(), 32, typeVLAN),
		"v6 QinQ":   datagram(our6(), 32, typeQinQ),
	}
}
