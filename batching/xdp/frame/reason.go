// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame

import "strconv"

// A Reason says why [Datagram.Parse] refused a frame; [OK] when it did not.
// It is meant as an index of counters: see [Reasons].
type Reason uint8

// Reasons of [Datagram.Parse].
const (
	// OK means that the frame is a datagram.
	OK Reason = iota
	// Truncated means that the frame ends within its headers.
	Truncated
	// NotIP means another EtherType, a second VLAN tag, or an IP header of
	// another version than the EtherType says.
	NotIP
	// HasOptions means IPv4 options or IPv6 extension headers.
	HasOptions
	// IPLength means that the IP length goes beyond the frame, or does not even
	// hold the headers.
	IPLength
	// Fragment means that the packet is a fragment.
	Fragment
	// NotUDP means another protocol.
	NotUDP
	// BadHeader means that the checksum of the IPv4 header is wrong.
	BadHeader
	// UDPLength means that the UDP length goes beyond the packet, or does not
	// even hold the header.
	UDPLength
	// NoChecksum means IPv6 without UDP checksum (RFC 8200 section 8.1).
	NoChecksum
	// BadAddress means a source or destination that no frame can have: a
	// multicast, broadcast or unspecified source, loopback, IPv4 inside IPv6.
	BadAddress

	// Reasons is the number of reasons, OK among them.
	Reasons
)

var reasonNames = [Reasons]string{
	OK:         "ok",
	Truncated:  "truncated",
	NotIP:      "not-ip",
	HasOptions: "options",
	IPLength:   "ip-length",
	Fragment:   "fragment",
	NotUDP:     "not-udp",
	BadHeader:  "ip-checksum",
	UDPLength:  "udp-length",
	NoChecksum: "no-udp-checksum",
	BadAddress: "address",
}

// String returns the reason as a word for a metric's label.
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return "reason-" + strconv.Itoa(int(r))
}
