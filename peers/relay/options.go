// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// Options are what a [Server] is made of.
type Options struct {
	// Identity is the relay's; required.
	Identity *disco.Identity
	// Allowed are the public keys of the clients, see [Server.SetAllowed].
	Allowed []disco.Key
	// Listen are the addresses to listen on; empty means all of the host, over
	// IPv4 and IPv6. Those with port 0 share Port.
	Listen []netip.AddrPort
	// Port is the UDP port; 0 means one that is free.
	Port uint16
	// Sockets is how many there are for each address: 0 means one for each CPU,
	// at most 4.
	Sockets int
	// Socket are the options of the sockets. AnyProtocol is always on: a full send
	// buffer drops packets, so that one path does not hold up the others.
	Socket batching.Options
	// MaxSessions, MaxSessionsPerClient and MaxRate are as in [TableOptions].
	MaxSessions, MaxSessionsPerClient int
	MaxRate                           int
	// Logger gets a line when the relay starts, stops, and when its list changes.
	// Nil discards.
	Logger *slog.Logger
}

// maxSockets is how many sockets there are for an address unless asked for.
const maxSockets = 4

// complete returns o with its defaults filled in, or says what is wrong.
func (o *Options) complete() (*Options, error) {
	c := *o
	switch {
	case c.Identity == nil:
		return nil, errors.New("relay: Identity is required")
	case c.MaxSessions < 0 || c.MaxSessions > maxSlots:
		return nil, fmt.Errorf("relay: MaxSessions %d is not 0 to %d", c.MaxSessions, maxSlots)
	case c.MaxSessionsPerClient < 0:
		return nil, fmt.Errorf("relay: MaxSessionsPerClient %d is negative", c.MaxSessionsPerClient)
	case c.MaxRate < 0:
		return nil, fmt.Errorf("relay: MaxRate %d is negative", c.MaxRate)
	case c.Sockets < 0:
		return nil, fmt.Errorf("relay: Sockets %d is negative", c.Sockets)
	}
	for _, a := range c.Listen {
		if !a.Addr().IsValid() {
			return nil, errors.New("relay: Listen has an address that is none")
		}
	}
	if c.Sockets == 0 {
		c.Sockets = min(runtime.GOMAXPROCS(0), maxSockets)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Socket.AnyProtocol = true
	if c.Socket.Logger == nil {
		c.Socket.Logger = c.Logger
	}
	return &c, nil
}
