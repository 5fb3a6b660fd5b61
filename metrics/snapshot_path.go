// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// Discovery counts what path discovery does.
type Discovery struct {
	Sent, Received []Count // messages by type
	Dropped        []Count // messages by reason, both directions
	Switches       uint64
	Doubts         uint64
	// Peers now: that are routers, and whose path is direct or relayed.
	Routers, Direct, Relayed int
	// Relays with which the router is registered now, and its bound sessions.
	Relays, Sessions int
}

// Relay counts what the router forwards as a relay. Bytes are those of UDP payloads.
type Relay struct {
	Traffic
	Clients, Registrations int // now
	Sessions, Bound        int // now; Bound of Sessions have both ends
	Ended                  []Count
	Received, Sent         []Count // messages by type
	Dropped                []Count
}
