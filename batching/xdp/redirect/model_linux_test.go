// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"encoding/binary"
	"net/netip"
)

// A model says in plain Go what the program is to do with a frame.
type model struct {
	port      uint16
	addresses []netip.Addr
	vlan      uint16
	maxFrame  int
	socket    bool // the queue has one
}

// options load the program that does the same.
func (m *model) options() *Options {
	return &Options{Port: m.port, Addresses: m.addresses, VLAN: m.vlan, MaxFrame: m.maxFrame}
}

// verdict is written from the headers' definitions, not from the program.
func (m *model) verdict(frame []byte) Verdict {
	v := m.ethernet(frame)
	switch {
	case v == Redirected && m.maxFrame > 0 && len(frame) > m.maxFrame:
		return PassLong
	case v == Redirected && !m.socket:
		return PassNoSocket
	}
	return v
}

func (m *model) ethernet(frame []byte) Verdict {
	if len(frame) < 14 {
		return PassShort
	}
	if frame[0]&1 == 1 {
		return PassGroup
	}
	etherType, packet := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	isTag := func() bool { return etherType == 0x8100 || etherType == 0x88a8 }
	vlan := 0
	if isTag() {
		if len(packet) < 4 {
			return PassShort
		}
		vlan = int(packet[0]&15)<<8 | int(packet[1])
		etherType, packet = binary.BigEndian.Uint16(packet[2:]), packet[4:]
		if isTag() {
			return PassTags
		}
	}
	if vlan != int(m.vlan) {
		return PassVLAN
	}
	switch etherType {
	case 0x0800:
		return m.ipv4(packet)
	case 0x86dd:
		return m.ipv6(packet)
	}
	return PassEtherType
}

func (m *model) ipv4(b []byte) Verdict {
	if len(b) < 20 {
		return PassShort
	}
	total := int(binary.BigEndian.Uint16(b[2:]))
	moreFragments, offset := b[6]>>5&1 == 1, int(b[6]&0x1f)<<8|int(b[7])
	switch {
	case b[0]>>4 != 4 || b[0]&15 != 5:
		return PassHeader
	case moreFragments || offset != 0:
		return PassFragment
	case b[9] != 17:
		return PassProtocol
	case total < 28 || total > len(b):
		return PassLength
	case checksum(b[:20]) != 0:
		return PassChecksum
	}
	return m.udp(b[20:total], netip.AddrFrom4([4]byte(b[16:20])))
}

func (m *model) ipv6(b []byte) Verdict {
	if len(b) < 40 {
		return PassShort
	}
	payload := int(binary.BigEndian.Uint16(b[4:]))
	switch {
	case b[0]>>4 != 6:
		return PassHeader
	case b[6] != 17:
		return PassProtocol
	case payload < 8 || payload > len(b)-40:
		return PassLength
	}
	return m.udp(b[40:40+payload], netip.AddrFrom16([16]byte(b[24:40])))
}

func (m *model) udp(b []byte, dst netip.Addr) Verdict {
	if n := int(binary.BigEndian.Uint16(b[4:])); n < 8 || n > len(b) {
		return PassLength
	}
	if dst.Is6() && b[6] == 0 && b[7] == 0 {
		return PassChecksum
	}
	if p := binary.BigEndian.Uint16(b[2:]); p != m.port || p == 0 {
		return PassPort
	}
	for _, a := range m.addresses {
		if a == dst {
			return Redirected
		}
	}
	return PassAddress
}

// checksum is RFC 1071 over an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
