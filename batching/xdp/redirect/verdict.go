// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import "fmt"

// A Verdict is what became of a frame, and why.
type Verdict uint8

// All but Redirected say why the frame passed to the kernel. From PassShort on they
// are listed in the order in which the program looks; PassLong and PassNoSocket come
// last, for frames that would be redirected otherwise.
const (
	Redirected    Verdict = iota // to a socket
	PassNoSocket                 // ours, but its queue has no socket
	PassLong                     // ours, but longer than Options.MaxFrame
	PassShort                    // ends before the headers do
	PassGroup                    // Ethernet multicast or broadcast
	PassTags                     // more than one VLAN tag
	PassVLAN                     // another VLAN, or none
	PassEtherType                // not IP: ARP, LLDP, …
	PassHeader                   // another IP version than the EtherType says, or IPv4 options
	PassFragment                 // of a larger IPv4 packet
	PassProtocol                 // not UDP: ICMP, TCP, an IPv6 extension header, …
	PassLength                   // lengths of the headers contradict each other or the frame
	PassChecksum                 // IPv4 header checksum wrong, or UDP over IPv6 without one
	PassPort                     // another destination port
	PassAddress                  // another destination address
	verdicts                     // how many there are
)

// verdictNames are short, fit for a label.
var verdictNames = [verdicts]string{
	Redirected:    "redirected",
	PassNoSocket:  "no-socket",
	PassLong:      "long",
	PassShort:     "short",
	PassGroup:     "group",
	PassTags:      "tags",
	PassVLAN:      "vlan",
	PassEtherType: "ethertype",
	PassHeader:    "header",
	PassFragment:  "fragment",
	PassProtocol:  "protocol",
	PassLength:    "length",
	PassChecksum:  "checksum",
	PassPort:      "port",
	PassAddress:   "address",
}

// String returns a short name, "redirected" or the reason for passing.
func (v Verdict) String() string {
	if v < verdicts {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Counts has the number of frames of each [Verdict] since Load, in all modes and
// on all queues and interfaces.
type Counts [verdicts]uint64

// Passed returns how many frames passed to the kernel.
func (c *Counts) Passed() (n uint64) {
	for _, k := range c[Redirected+1:] {
		n += k
	}
	return n
}
