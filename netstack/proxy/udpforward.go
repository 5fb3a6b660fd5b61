// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// UDPForwardOptions configure a [UDPForward].
type UDPForwardOptions struct {
	// Listen is the host:port to receive datagrams at: on the host's network
	// for [ListenUDPClient], in the tunnel for [ListenUDPServer]. An empty host
	// means all addresses.
	Listen string

	// Target is the host:port to send them to, on the other side. A name is
	// resolved there, for each flow anew.
	Target string

	// InactivityTimeout is how long a flow may be silent in both directions. 0
	// means 120 s, and 30 s for a target with port 53; negative means for ever.
	InactivityTimeout time.Duration

	// Limits of flows: 8192 in total and 1024 for a client by default. A new
	// one ends the least recently used one, of the same client if it has any;
	// these are counted in Stats.Refused.
	Limits Limits

	// Logger for changes of state. nil discards.
	Logger *slog.Logger
}

// UDPForward forwards UDP datagrams between the host's network and the tunnel.
// Each client has a port of its own towards the target, and gets what comes from
// the target.
type UDPForward struct {
	service
	side udpSide
}

// udpSide is one direction of forwarding.
type udpSide interface {
	serve(ctx context.Context) error // until ctx ends; closes everything
	close()                          // what serve would, if it is never called
	local() netip.AddrPort
	fill(s *Stats)
}

// Run forwards until ctx ends or Close is called. It returns an error when it
// was called before.
func (f *UDPForward) Run(ctx context.Context) error { return f.run(ctx, f.side.serve) }

// Close ends Run and waits until it has returned. Further calls do nothing.
func (f *UDPForward) Close() error {
	err := f.service.Close()
	f.side.close()
	return err
}

// Addr returns the address that datagrams are received at.
func (f *UDPForward) Addr() net.Addr { return net.UDPAddrFromAddrPort(f.side.local()) }

// Stats returns the counters. It may be called after Close.
func (f *UDPForward) Stats() Stats {
	s := f.count.snapshot(nil)
	f.side.fill(&s)
	return s
}

// udpClientOf is the client that flows from a are counted for.
func udpClientOf(a netip.Addr) any {
	if a = clientKey(a); a.IsValid() {
		return a
	}
	return nil
}
