// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/path"
)

// lookupLimit bounds the lookup of a relay's name.
const lookupLimit = 10 * time.Second

// relays are the relays of the configuration, with the addresses that their names
// have.
type relays struct {
	log     *slog.Logger
	changed chan struct{} // of capacity 1

	mu   sync.Mutex
	list []*relayConfig
}

type relayConfig struct {
	config   config.Relay
	addrs    []netip.AddrPort
	resolved time.Time
	warned   bool
}

func newRelays(log *slog.Logger) *relays {
	return &relays{log: log, changed: make(chan struct{}, 1)}
}

// set takes the sections of a configuration. A relay that stays keeps its addresses.
func (r *relays) set(sections []config.Relay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.list
	r.list = nil
	for _, s := range sections {
		n := &relayConfig{config: s}
		for _, o := range old {
			if o.config.PublicKey == s.PublicKey && o.config.Endpoint == s.Endpoint {
				n = o
			}
		}
		r.list = append(r.list, n)
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// known returns the relays whose address is known.
func (r *relays) known() []path.Relay {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []path.Relay
	for _, n := range r.list {
		p := relayOf(&n.config)
		if len(p.Addrs) == 0 {
			p.Addrs = slices.Clone(n.addrs)
		}
		out = append(out, p)
	}
	return out
}

// resolve looks up the names that are due, and returns when the next one is.
func (r *relays) resolve(ctx context.Context, lookup peers.Lookup) time.Duration {
	r.mu.Lock()
	list := slices.Clone(r.list)
	r.mu.Unlock()
	next := relayRefresh
	for _, n := range list {
		if _, literal := n.config.Endpoint.AddrPort(); literal {
			continue
		}
		wait := relayRefresh
		if len(n.addrs) == 0 {
			wait = relayRetry
		}
		if left := wait - time.Since(n.resolved); !n.resolved.IsZero() && left > 0 {
			next = min(next, left)
			continue
		}
		if !r.lookUp(ctx, n, lookup) {
			next = min(next, relayRetry)
		}
	}
	return next
}

// lookUp finds the addresses of one relay. Only the goroutine of followPaths does.
func (r *relays) lookUp(ctx context.Context, n *relayConfig, lookup peers.Lookup) bool {
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	ips, err := lookup(ctx, n.config.Endpoint.Host)
	n.resolved = time.Now()
	if err != nil || len(ips) == 0 {
		if !n.warned && ctx.Err() == nil {
			r.log.Warn("name of a relay does not resolve yet, trying again", "relay", n.config.Endpoint, "err", err)
			n.warned = true
		}
		return false
	}
	n.warned = false
	var addrs []netip.AddrPort
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), n.config.Endpoint.Port))
	}
	r.mu.Lock()
	n.addrs = addrs
	r.mu.Unlock()
	return true
}
