// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame

import (
	"fmt"

	"github.com/tunrouter/tunrouter/geneve"
)

// Lengths of headers in bytes.
const (
	ethernetLen = 14
	tagLen      = 4
	ipv4Len     = 20
	ipv6Len     = 40
	udpLen      = 8
)

// MaxHeaderLen is the largest number of bytes in front of a payload: a tagged
// frame with IPv6 and Geneve.
const MaxHeaderLen = ethernetLen + tagLen + ipv6Len + udpLen + geneve.HeaderLen

// EtherTypes (IEEE 802 numbers).
const (
	typeIPv4 = 0x0800
	typeIPv6 = 0x86dd
)

// Values of [Tag.Type].
const (
	// TypeCTag is the EtherType of an 802.1Q customer tag.
	TypeCTag uint16 = 0x8100
	// TypeSTag is the EtherType of an 802.1ad service tag.
	TypeSTag uint16 = 0x88a8
)

// IP protocol numbers.
const (
	protoUDP      = 17
	protoHopByHop = 0
	protoRouting  = 43
	protoFragment = 44
	protoAuth     = 51
	protoDestOpts = 60
	protoMobility = 135
)

// A MAC is an Ethernet address.
type MAC [6]byte

// String returns the address as six pairs of hexadecimal digits with colons.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// A Tag is a VLAN tag. The zero value is none.
type Tag struct {
	// Type is [TypeCTag], [TypeSTag] or, for a frame without tag, 0.
	Type uint16
	// TCI is the tag control information: priority (3 bits), drop eligible
	// (1 bit), VLAN identifier (12 bits).
	TCI uint16
}

// VLAN returns the VLAN identifier; 0 means that the tag has only a priority.
func (t Tag) VLAN() uint16 { return t.TCI & 0xfff }
