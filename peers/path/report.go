// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"net/netip"
	"time"
)

// PeerStatus is what is known about a peer.
type PeerStatus struct {
	// Router is "yes", "no" or "unknown".
	Router string `json:"router"`
	// Choice is where packets go, and Since when that was chosen.
	Choice Choice    `json:"choice"`
	Since  time.Time `json:"since,omitzero"`
	// Latency is the smoothed round trip over the primary path; 0: none.
	Latency time.Duration `json:"latency"`
	// Active says that something was sent to the peer in the last 45 s.
	Active bool `json:"active"`
	// Paths are all candidates, trusted ones first.
	Paths []PathStatus `json:"paths"`
	// Switches is how often the primary path changed.
	Switches uint64 `json:"switches"`
}

// PathStatus is what is known about one candidate.
type PathStatus struct {
	Path Path `json:"path"`
	// Kind says where the candidate is from: "configured", "local" (the peer told
	// so), "observed" (a Ping came from there), "heard" (packets came from there)
	// or "relay".
	Kind string `json:"kind"`
	// Trusted says that it answered in the last 6.5 s.
	Trusted bool `json:"trusted"`
	// Latency is the smoothed round trip; 0: none.
	Latency time.Duration `json:"latency"`
	// Loss is the share of the last 16 Pings that were lost, 0 to 1.
	Loss float64 `json:"loss"`
	// Width is the longest Ping in bytes of UDP payload that was answered; 0:
	// not known.
	Width int `json:"width"`
	// Last is when it answered last; zero: never.
	Last time.Time `json:"last,omitzero"`
	// RelayName is the configured name of the relay, if it is one.
	RelayName string `json:"relay_name,omitempty"`
}

// NetReport is what is known about the host's place in the network.
type NetReport struct {
	// Local are the addresses of interfaces.
	Local []netip.AddrPort `json:"local"`
	// Observed are the addresses that others see, newest first.
	Observed []Observation `json:"observed"`
	// Relays are in the order of the configuration.
	Relays []RelayStatus `json:"relays"`
	// Mapping4 and Mapping6 say what is between the host and the others: "none",
	// "easy" (a NAT that shows all of them the same address), "hard" (a NAT that
	// shows them different ones), "unknown" (fewer than two of them).
	Mapping4 string `json:"mapping4"`
	Mapping6 string `json:"mapping6"`
}

// An Observation is an address of ours that somebody sees.
type Observation struct {
	Observer Key            `json:"observer"`
	Relay    bool           `json:"relay"` // the observer is a relay
	Addr     netip.AddrPort `json:"addr"`
	At       time.Time      `json:"at"`
}

// RelayStatus is what is known about a relay.
type RelayStatus struct {
	Name       string           `json:"name"`
	Key        Key              `json:"key"`
	Addrs      []netip.AddrPort `json:"addrs"`
	Registered bool             `json:"registered"`
	Addr       netip.AddrPort   `json:"addr"`    // the one of Addrs in use
	Latency    time.Duration    `json:"latency"` // of the last registration; 0: none
	Observed   netip.AddrPort   `json:"observed"`
	Last       time.Time        `json:"last,omitzero"` // of the last registration
	Sessions   int              `json:"sessions"`      // bound
	Problem    string           `json:"problem,omitempty"`
}

// PingResult is what became of [Agent.Ping].
type PingResult struct {
	Peer    Key         `json:"peer"`
	Router  string      `json:"router"`
	Replies []PingReply `json:"replies"` // in the order in which they were sent
}

// A PingReply is one Ping and its answer.
type PingReply struct {
	Path      Path          `json:"path"`
	Kind      string        `json:"kind"`
	RelayName string        `json:"relay_name,omitempty"`
	InUse     bool          `json:"in_use"`
	Answered  bool          `json:"answered"`
	Latency   time.Duration `json:"latency"` // of this Ping
	// Observed is the address that the peer saw; zero over a relay.
	Observed netip.AddrPort `json:"observed,omitzero"`
}

// Stats are counts since the agent was made.
type Stats struct {
	// Sent and Received are messages by type; received ones were authentic and
	// well formed.
	Sent     map[string]uint64 `json:"sent"`
	Received map[string]uint64 `json:"received"`
	// Dropped are messages by reason, in both directions.
	Dropped map[string]uint64 `json:"dropped"`
	// Switches is how often the primary path of a peer changed, Doubts how often
	// one was doubted.
	Switches uint64 `json:"switches"`
	Doubts   uint64 `json:"doubts"`
	// Routers, Direct and Relayed are peers now: that are routers, whose primary
	// path is direct, whose primary path is relayed.
	Routers int `json:"routers"`
	Direct  int `json:"direct"`
	Relayed int `json:"relayed"`
	// Relays are relays now with which the router is registered, Sessions the
	// bound sessions.
	Relays   int `json:"relays"`
	Sessions int `json:"sessions"`
}
