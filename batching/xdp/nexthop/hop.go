// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"net/netip"
	"strconv"
)

// A Hop is how a packet leaves.
type Hop struct {
	// Source is the Ethernet address of the interface, Target that of the next
	// hop.
	Source, Target [6]byte
	// Gateway is the address that Target belongs to: the destination itself when
	// it is on the link.
	Gateway netip.Addr
	// Src is the source address of the packet: the one that was asked with, or
	// the kernel's choice.
	Src netip.Addr
	// MTU is the length of the largest IP packet, in bytes, that of the path as far
	// as the kernel knows it: longer ones are for a kernel socket.
	MTU int
	// TTL is the time to live or hop limit that the kernel would give the packet:
	// the route's if it has one (RTAX_HOPLIMIT), else net.ipv4.ip_default_ttl or
	// net.ipv6.conf.*.hop_limit of the interface. It is never 0.
	TTL uint8
}

// A Reason says why there is no [Hop]; [OK] when there is one.
type Reason uint8

// Reasons of [Table.Lookup]. In all cases but OK the packet is for a kernel
// socket.
const (
	// OK means that there is a Hop.
	OK Reason = iota
	// Pending means that the kernel has not been asked yet, or too many
	// questions are waiting.
	Pending
	// OtherInterface means that the route leads elsewhere, also to this host.
	OtherInterface
	// Unresolved means that the kernel has no usable Ethernet address for the
	// next hop.
	Unresolved
	// Unreachable means that the kernel has no route, or one that refuses.
	Unreachable
	// NotUnicast means a multicast, broadcast or invalid destination.
	NotUnicast
	// NotPlain means that the route encapsulates packets, or that the interface
	// is not Ethernet or not up.
	NotPlain
	// NoSource means that the source is no address of this host, or not ready
	// for use, or that the host has none for the destination.
	NoSource
	// Closed means that the Table is closed.
	Closed

	// Reasons is the number of reasons, OK among them.
	Reasons
)

var reasonNames = [Reasons]string{
	"ok", "pending", "other-interface", "unresolved", "unreachable", "not-unicast", "not-plain", "no-source", "closed",
}

// String returns the reason as a word for a metric's label.
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return "reason-" + strconv.Itoa(int(r))
}
