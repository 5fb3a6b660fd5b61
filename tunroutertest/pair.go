// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunroutertest

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/netstack"
)

const (
	// patience bounds the wait for the first packet. It is long because it only
	// passes in full when the test fails: a lost handshake is sent again after
	// 5 s.
	patience = 60 * time.Second
	// pingEvery is how long one attempt waits for its answer.
	pingEvery = time.Second
)

// PairOptions are for tests that need more than [Pair]. nil, and the zero value
// of each field, mean the default.
type PairOptions struct {
	// A and B are the addresses of the two hosts inside the tunnel, of one or
	// both families. None means 10.99.0.1 and fd99::1 for A, 10.99.0.2 and
	// fd99::2 for B.
	A, B []netip.Addr

	// MTU of the tunnel in bytes, 576 to 65535. 0 means 1420.
	MTU int

	// Loss is the part of WireGuard's datagrams, of each direction, that is
	// lost on the way, at least 0 and below 1. Which ones are is the same in
	// every run. It delays the start of the pair by 5 s for each handshake
	// that it hits.
	Loss float64

	// Logger gets what the routers log. nil discards it.
	Logger *slog.Logger
}

// Pair returns the networks of two hosts, with one IPv4 and one IPv6 address
// each: 10.99.0.1 and fd99::1, 10.99.0.2 and fd99::2. Packets pass between them
// when it returns. It fails the test when it cannot.
func Pair(tb testing.TB) (a, b *netstack.Net) {
	tb.Helper()
	return PairWith(tb, nil)
}

// PairWith is Pair with options.
func PairWith(tb testing.TB, o *PairOptions) (a, b *netstack.Net) {
	tb.Helper()
	opts := o.withDefaults(tb)
	sites := [2]*site{
		{name: "a", addrs: opts.A, key: newKey(tb)},
		{name: "b", addrs: opts.B, key: newKey(tb)},
	}
	// b waits to be called: a knows where it is.
	listener := sites[1].start(tb, &opts, sites[0], config.Endpoint{})
	to := netip.AddrPortFrom(loopback, listener.ListenPort())
	if opts.Loss > 0 {
		to = startLossy(tb, to, opts.Loss)
	}
	caller := sites[0].start(tb, &opts, sites[1], config.Endpoint{Host: to.Addr().String(), Port: to.Port()})
	waitFor(tb, caller.Net(), opts.A, opts.B)
	return caller.Net(), listener.Net()
}

func (o *PairOptions) withDefaults(tb testing.TB) PairOptions {
	tb.Helper()
	var c PairOptions
	if o != nil {
		c = *o
	}
	if len(c.A) == 0 {
		c.A = []netip.Addr{netip.MustParseAddr("10.99.0.1"), netip.MustParseAddr("fd99::1")}
	}
	if len(c.B) == 0 {
		c.B = []netip.Addr{netip.MustParseAddr("10.99.0.2"), netip.MustParseAddr("fd99::2")}
	}
	c.MTU = cmp.Or(c.MTU, 1420)
	if c.Loss < 0 || c.Loss >= 1 {
		tb.Fatalf("tunroutertest: loss %v: not at least 0 and below 1", c.Loss)
	}
	return c
}

// waitFor pings until an answer has come from the first address of to that from
// has the family of.
func waitFor(tb testing.TB, n *netstack.Net, from, to []netip.Addr) {
	tb.Helper()
	i := slices.IndexFunc(to, func(t netip.Addr) bool {
		return slices.ContainsFunc(from, func(f netip.Addr) bool { return f.Is4() == t.Is4() })
	})
	if i < 0 {
		tb.Fatalf("tunroutertest: hosts with addresses %v and %v have no family in common", from, to)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		try, stop := context.WithTimeout(ctx, pingEvery)
		_, err := n.Ping(try, to[i])
		stop()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			tb.Fatalf("tunroutertest: no packet passes: %v", err)
		}
		<-try.Done() // an error that comes at once is no reason to spin
	}
}

// A site is one of the two routers.
type site struct {
	name  string
	addrs []netip.Addr
	key   config.Key
}

// loopback is what the sockets of all routers are bound to.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// start runs the router of s with one peer, until the end of the test.
func (s *site) start(tb testing.TB, o *PairOptions, peer *site, endpoint config.Endpoint) *engine.Engine {
	tb.Helper()
	e, err := engine.New(&config.Config{
		Name: s.name,
		Interface: config.Interface{
			PrivateKey: s.key,
			Addresses:  prefixes(s.addrs),
			MTU:        o.MTU,
		},
		Peers: []config.Peer{{
			PublicKey:  peer.key.Public(),
			AllowedIPs: prefixes(peer.addrs),
			Endpoint:   endpoint,
		}},
		Router: config.Router{Mode: config.ModeNetstack},
	}, &engine.Options{
		Logger:    o.Logger,
		NoControl: true,
		ListenOn:  []netip.Addr{loopback},
	})
	if err != nil {
		tb.Fatalf("tunroutertest: router %s: %v", s.name, err)
	}
	tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			tb.Errorf("tunroutertest: close router %s: %v", s.name, err)
		}
	})
	return e
}

// prefixes returns each address alone.
func prefixes(addrs []netip.Addr) []netip.Prefix {
	out := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		out[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return out
}

func newKey(tb testing.TB) config.Key {
	tb.Helper()
	k, err := config.GenerateKey()
	if err != nil {
		tb.Fatalf("tunroutertest: %v", err)
	}
	return k
}
