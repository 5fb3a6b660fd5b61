// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"encoding/binary"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tunrouter/tunrouter/geneve"
)

// The headroom that the device leaves in front of every message is exactly one
// Geneve header. Either line fails to compile when that is no longer so.
const (
	_ = uint(device.MessageEncapsulatingTransportSize - geneve.HeaderLen)
	_ = uint(geneve.HeaderLen - device.MessageEncapsulatingTransportSize)
)

// A message is what a datagram is taken for, by its first four bytes and its
// length (WireGuard whitepaper, section 5.4). The type is a byte followed by
// three zero bytes, which is what keeps WireGuard apart from everything else
// that may share the port.
type message uint8

const (
	messageInvalid message = iota
	messageInitiation
	messageResponse
	messageCookieReply
	messageTransport
	numMessages
)

var messageNames = [numMessages]string{
	messageInitiation: "initiation", messageResponse: "response", messageCookieReply: "cookie_reply", messageTransport: "transport",
}

// Offsets into the messages; indices are little endian.
const (
	offsetSender           = 4 // sender index of an initiation and of a response
	offsetResponseReceiver = 8 // receiver index of a response
)

// A dropReason says why a datagram that arrived went no further.
type dropReason uint8

const (
	dropNone dropReason = iota
	dropTooShort
	dropUnknownType
	dropBadLength
	dropGeneve
	dropVNI
	dropDiscoTag
	dropDiscoQueue
	numDropReasons
)

var dropReasonNames = [numDropReasons]string{
	dropTooShort:    "too_short",
	dropUnknownType: "unknown_type",
	dropBadLength:   "bad_length",
	dropGeneve:      "bad_geneve",       // options, version, reserved bits, unknown protocol
	dropVNI:         "unknown_vni",      // no pair of ours on that relay
	dropDiscoTag:    "disco_unknown",    // path discovery of nobody known, or not asked for
	dropDiscoQueue:  "disco_queue_full", // more path discovery than there is time for
}

// classify says what b is, or why it is nothing that the device could use.
func classify(b []byte) (message, dropReason) {
	if len(b) < 4 {
		return messageInvalid, dropTooShort
	}
	switch binary.LittleEndian.Uint32(b) {
	case device.MessageInitiationType:
		if len(b) == device.MessageInitiationSize {
			return messageInitiation, dropNone
		}
	case device.MessageResponseType:
		if len(b) == device.MessageResponseSize {
			return messageResponse, dropNone
		}
	case device.MessageCookieReplyType:
		if len(b) == device.MessageCookieReplySize {
			return messageCookieReply, dropNone
		}
	case device.MessageTransportType:
		if len(b) >= device.MinMessageSize {
			return messageTransport, dropNone
		}
	default:
		return messageInvalid, dropUnknownType
	}
	return messageInvalid, dropBadLength
}
