// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"strconv"
)

// A Forwarding says what becomes of packets from one peer to another.
type Forwarding uint8

const (
	// ForwardingOff hands them to the host, which may route them. It is the default.
	ForwardingOff Forwarding = iota
	// ForwardingOn passes them from peer to peer inside the router.
	ForwardingOn
	// ForwardingIsolated drops them.
	ForwardingIsolated
)

// String returns off, on or isolated.
func (f Forwarding) String() string {
	switch f {
	case ForwardingOff:
		return "off"
	case ForwardingOn:
		return "on"
	case ForwardingIsolated:
		return "isolated"
	}
	return "Forwarding(" + strconv.Itoa(int(f)) + ")"
}

// maxTxQueueLength is where a longer queue is only latency: at 10 million packets
// per second a tenth of a second.
const maxTxQueueLength = 1000000

func setPeerForwarding(e *entry) {
	if n, ok := e.choice(ForwardingOff.String(), ForwardingOn.String(), ForwardingIsolated.String()); ok {
		e.cfg.Router.PeerForwarding = Forwarding(n)
	}
}

func setTxQueueLength(e *entry) {
	hint := fmt.Sprintf("write a number from 1 to %d, or leave it out for 1000", maxTxQueueLength)
	if n, ok := e.number(1, maxTxQueueLength, "a number of packets", hint); ok {
		e.cfg.Router.TxQueueLength = int(n)
	}
}
