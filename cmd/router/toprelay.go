// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/uapi"
)

// A topRelay is what "router top" shows of a relay server, alone or beside a tunnel.
type topRelay struct {
	clients, registered int
	sessions, bound     int
	bytes               uint64
	rate                float64 // bytes per second, or unknown
}

// topRelayOf takes the relay server from a status; nil if there is none.
func topRelayOf(d *uapi.Device) *topRelay {
	r := engine.RelayOf(d)
	if r == nil {
		return nil
	}
	return &topRelay{
		clients: r.Clients, registered: r.Registrations, sessions: r.Sessions, bound: r.Bound, bytes: r.Bytes, rate: unknown,
	}
}

// since computes the rate from an earlier sample, nil for none.
func (r *topRelay) since(old *topRelay, seconds float64) {
	if old != nil && r.bytes >= old.bytes {
		r.rate = float64(r.bytes-old.bytes) / seconds
	}
}

func (r *topRelay) text() string {
	return fmt.Sprintf("relay: sessions %d of %d bound, registered %d of %d, forwarding %s; so far %s",
		r.bound, r.sessions, r.registered, r.clients, bitRate(r.rate), size(r.bytes))
}

// relayAlone reports whether there is a relay server and nobody to have a tunnel with.
func (s *topSample) relayAlone() bool { return s.relay != nil && len(s.peers) == 0 }
