// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import "sync/atomic"

// A Drop says why a datagram that arrived went no further, or an answer was not
// given. The zero Drop means that it was not dropped.
type Drop uint8

// The values of Drop.
const (
	DropNone Drop = iota

	// Datagrams of no form that the relay knows.
	DropTooShort  // shorter than a Geneve header
	DropWireGuard // a WireGuard message without a Geneve header
	DropGeneve    // neither a frame nor Geneve of the form in use: version, options, critical or reserved bits
	DropProtocol  // another protocol behind the Geneve header
	DropControl   // the control bit on what is no frame for the relay

	// Frames for the relay.
	DropUnknownTag  // from nobody on the list, or too far off the epoch
	DropAuth        // does not authenticate
	DropMessage     // authentic, and no message: too short, unknown type, impossible value
	DropType        // a message that the relay does not take, or not in this form
	DropBadSource   // from an address that one host cannot have
	DropOwnAddress  // from an address of the relay itself
	DropSameAddress // the other leg is at this address
	DropWrongVNI    // the VNI of the header is not that of the message
	DropCookie      // a BindAnswer with a cookie that is wrong or too old
	DropClientLimit // more than the answers of one client
	DropTotalLimit  // more than the answers of the relay

	// Frames to forward.
	DropUnknownVNI // no session has it
	DropNotLeg     // not from the address of a leg
	DropNotBound   // a leg is not bound yet
	DropRate       // more than the bytes of one client
	DropSend       // the socket did not take it

	numDrops
)

var dropNames = [numDrops]string{
	DropNone:        "none",
	DropTooShort:    "too_short",
	DropWireGuard:   "wireguard",
	DropGeneve:      "geneve",
	DropProtocol:    "protocol",
	DropControl:     "control",
	DropUnknownTag:  "unknown_tag",
	DropAuth:        "auth",
	DropMessage:     "message",
	DropType:        "type",
	DropBadSource:   "bad_source",
	DropOwnAddress:  "own_address",
	DropSameAddress: "same_address",
	DropWrongVNI:    "wrong_vni",
	DropCookie:      "cookie",
	DropClientLimit: "client_limit",
	DropTotalLimit:  "total_limit",
	DropUnknownVNI:  "unknown_vni",
	DropNotLeg:      "not_leg",
	DropNotBound:    "not_bound",
	DropRate:        "rate",
	DropSend:        "send",
}

// String returns the name of the reason in snake case.
func (d Drop) String() string {
	if d < numDrops {
		return dropNames[d]
	}
	return "unknown"
}

// dropCounters count drops by reason. Safe for concurrent use.
type dropCounters [numDrops]atomic.Uint64

func (c *dropCounters) add(d Drop, n uint64) {
	if d != DropNone && n > 0 {
		c[d].Add(n)
	}
}

func (c *dropCounters) snapshot() map[string]uint64 {
	m := make(map[string]uint64, numDrops-1)
	for d := DropNone + 1; d < numDrops; d++ {
		m[d.String()] = c[d].Load()
	}
	return m
}
