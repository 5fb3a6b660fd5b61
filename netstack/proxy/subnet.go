// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

// SubnetRouterOptions configure a [SubnetRouter].
type SubnetRouterOptions struct {
	// Prefixes of the host's network that peers may reach, and Any for
	// everything that is not special: loopback, unspecified, link-local,
	// multicast, broadcast and reserved addresses, the metadata services of
	// clouds and the host's own addresses. A special address is opened only by
	// a prefix within its range, one of the host by its own /32 or /128.
	Prefixes []netip.Prefix
	Any      bool

	// Own returns the addresses of this host; it is asked every 5 s at most. nil
	// means those of its interfaces, with the broadcast addresses of their
	// networks.
	Own func() []netip.Addr

	// PeerOf returns who is limited when a sends: a comparable value; ok is false
	// for nobody, whose packets are refused. nil means each address is.
	PeerOf func(a netip.Addr) (key any, ok bool)

	// TCP limits the connections (8192 in total, 2048 for a peer by default),
	// Dials those being opened (1024, 256). Requests beyond are not answered, so
	// that the peer tries again. UDP limits the flows (8192, 1024), of which a new
	// one ends the least recently used, of the same peer if it has any, and Echoes
	// the requests without an answer yet (4096, 64), at most 4096.
	TCP, Dials, UDP, Echoes Limits

	// InactivityTimeout is how long a UDP flow may be silent. 0 means 120 s, and
	// 30 s to port 53; negative means for ever.
	InactivityTimeout time.Duration

	// DialTCP and DialUDP connect to an address of the host's network. nil means
	// package net. The connection of DialUDP is the router's.
	DialTCP func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	DialUDP func(ctx context.Context, to netip.AddrPort) (*net.UDPConn, error)

	// Logger for changes of state. nil discards.
	Logger *slog.Logger
}

// A SubnetRouter lets peers in the tunnel reach the network of the host, as a
// router with network address translation would: TCP, UDP and ICMP echo leave
// from sockets of this process. It needs no privilege.
type SubnetRouter struct {
	service

	// Immutable.
	net     *netstack.Net
	own     ownAddresses
	peerOf  func(a netip.Addr) (key any, ok bool)
	dialTCP func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	timeout time.Duration // of dialTCP
	tcp     *peerLimits
	dials   *peerLimits
	udp     *hostFlows
	echo    *echoRouter

	policy atomic.Pointer[subnetPolicy]
	denied [numDenials]atomic.Uint64

	work    sync.WaitGroup // requests, flows and echo sockets
	mu      sync.Mutex     // guards below
	ctx     context.Context
	ended   bool
	current map[*subnetConn]struct{}
}

// Defaults of the options.
const (
	defaultSubnetTCP, defaultSubnetTCPPeer     = 8192, 2048
	defaultSubnetDials, defaultSubnetDialsPeer = 1024, 256
)

// NewSubnetRouter makes n answer for the network of the host. What arrives
// before Run is called is not answered.
func NewSubnetRouter(n *netstack.Net, o *SubnetRouterOptions) (*SubnetRouter, error) {
	policy, err := newSubnetPolicy(o.Any, o.Prefixes)
	if err != nil {
		return nil, err
	}
	r := &SubnetRouter{
		net: n, peerOf: o.PeerOf, dialTCP: o.DialTCP, timeout: subnetDialTimeout,
		tcp:     newPeerLimits(o.TCP, defaultSubnetTCP, defaultSubnetTCPPeer),
		dials:   newPeerLimits(o.Dials, defaultSubnetDials, defaultSubnetDialsPeer),
		current: make(map[*subnetConn]struct{}),
	}
	r.init("subnet router", nil, Limits{}, o.Logger)
	r.policy.Store(policy)
	if r.own.list = o.Own; r.own.list == nil {
		r.own.list = hostAddresses
	}
	if r.peerOf == nil {
		r.peerOf = func(a netip.Addr) (any, bool) { return a, true }
	}
	if r.dialTCP == nil {
		r.dialTCP = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return dialHost(ctx, "tcp", to.String())
		}
	}
	r.udp = r.newUDP(o)
	r.echo = newEchoRouter(r, o.Echoes)
	err = n.SetTransit(&netstack.Transit{TCP: r.serveTCP, UDP: r.takeUDP, Echo: r.echo.take, Loopback: true})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Reconfigure changes Prefixes and Any, to those of o. Connections and flows to
// what peers may not reach any more are ended.
func (r *SubnetRouter) Reconfigure(o *SubnetRouterOptions) error {
	policy, err := newSubnetPolicy(o.Any, o.Prefixes)
	if err != nil {
		return err
	}
	r.policy.Store(policy)
	gone := func(a netip.Addr) bool { return policy.check(a, r.own.has) != allowed }
	r.udp.table.removeAll(func(f *flow[hostKey, *hostFlow]) bool { return gone(f.key.destination.Addr()) })
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.current {
		if gone(c.to.Addr()) {
			c.reset()
		}
	}
	r.log.Info("subnet router changed", "any", policy.any, "prefixes", policy.prefixes)
	return nil
}

// Run routes until ctx ends or Close is called. It returns an error when it was
// called before.
func (r *SubnetRouter) Run(ctx context.Context) error {
	return r.run(ctx, func(ctx context.Context) error {
		r.mu.Lock()
		r.ctx = ctx
		r.mu.Unlock()
		r.udp.run(ctx)
		r.shut()
		return nil
	})
}

// Close ends Run, with all connections and flows, and waits until it has
// returned: 10 s when a peer vanished in the middle of a handshake, else at once.
// Further calls do nothing.
func (r *SubnetRouter) Close() error {
	err := r.service.Close()
	r.shut()
	return err
}

// shut ends everything and waits for it.
func (r *SubnetRouter) shut() {
	r.mu.Lock()
	first := !r.ended
	r.ended = true
	for c := range r.current {
		c.reset()
	}
	r.mu.Unlock()
	r.udp.table.close()
	r.echo.close()
	r.work.Wait()
	if first {
		// Not before: without it the end of a handshake would not be seen, and
		// waited for, 10 s.
		_ = r.net.SetTransit(nil) // or the device is closed
	}
}

// begin returns the context of a piece of work, which is followed by
// r.work.Done, or false when the router does not run.
func (r *SubnetRouter) begin() (context.Context, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.ctx == nil || r.ctx.Err() != nil {
		return nil, false
	}
	r.work.Add(1)
	return r.ctx, true
}

// admit returns who sends from source, if they may reach to. Refusals are
// counted.
func (r *SubnetRouter) admit(source, to netip.Addr) (peer any, ok bool) {
	why := r.policy.Load().check(to, r.own.has)
	if why == allowed {
		if peer, ok = r.peerOf(source); ok {
			return peer, true
		}
		why = deniedSource
	}
	r.denied[why].Add(1)
	r.count.denied.Add(1)
	return nil, false
}

// SubnetDetails are counters of a SubnetRouter that its Stats have not, or not by
// reason.
type SubnetDetails struct {
	// Denied counts connections, new flows and echo requests that the policy
	// forbids, by reason: unlisted, unspecified, loopback, link_local, metadata,
	// multicast, reserved, mapped, own, source (the sender is nobody known).
	Denied map[string]uint64
	Echo   EchoCounters
}

// Details returns more counters than Stats. It may be called after Close.
func (r *SubnetRouter) Details() SubnetDetails {
	d := SubnetDetails{Denied: make(map[string]uint64), Echo: r.echo.counters()}
	for why := denial(1); why < numDenials; why++ {
		d.Denied[why.String()] = r.denied[why].Load()
	}
	return d
}

// Stats returns the counters, those of TCP and UDP together. It may be called
// after Close.
func (r *SubnetRouter) Stats() Stats {
	s := r.count.snapshot(nil)
	r.udp.table.fill(&s)
	active, refused := r.tcp.counts()
	_, busy := r.dials.counts()
	s.Active += active
	s.Refused += refused + busy
	return s
}
