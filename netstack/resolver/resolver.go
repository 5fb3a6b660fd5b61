// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// dnsPort is the port of servers that are given without one.
const dnsPort = 53

// A Dial connects to address, an IP address with port. network is udp or tcp.
// The connection must be made, and end, within the host that asks.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Options configure a [Resolver]. Neither New nor Reconfigure change or keep
// the struct.
type Options struct {
	// Servers to ask, in order; port 0 means 53. None makes every name that
	// has to be asked for an error. Invalid addresses are left out.
	Servers []netip.AddrPort

	// Search are the domains that a name is looked for in: one without a dot
	// there first and then as it is, one with a dot the other way round, one
	// that ends in a dot never. Invalid domains are left out.
	Search []string

	// Prefer says which family comes first.
	Prefer Preference

	// Families says which families the host has addresses of, at the time of
	// the call; the others are not asked for. nil means both at first, and no
	// change in Reconfigure.
	Families func() (v4, v6 bool)

	// Logger for changes of state. nil discards at first, and means no change
	// in Reconfigure.
	Logger *slog.Logger
}

// Resolver finds the addresses of host names. Its zero value is not usable: see
// [New].
type Resolver struct {
	dial  Dial
	setup atomic.Pointer[setup]
	mu    sync.Mutex // held by Reconfigure
}

// A setup is what Reconfigure replaces as a whole, with what was learned from
// its servers.
type setup struct {
	// Immutable.
	dial     Dial
	servers  []netip.AddrPort
	search   []string // absolute
	prefer   Preference
	families func() (v4, v6 bool)
	log      *slog.Logger

	first   atomic.Uint32 // the server that answered last
	cache   cache
	flights flights
}

// New returns a resolver that reaches its servers by dial. o may be nil.
func New(dial Dial, o *Options) *Resolver {
	r := &Resolver{dial: dial}
	r.setup.Store(&setup{
		families: func() (v4, v6 bool) { return true, true },
		log:      slog.New(slog.DiscardHandler),
	})
	r.Reconfigure(o)
	return r
}

// Reconfigure replaces the options and forgets all answers. Lookups under way
// end with what they began with.
func (r *Resolver) Reconfigure(o *Options) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.setup.Load()
	s := &setup{dial: r.dial, families: old.families, log: old.log}
	s.cache.init()
	s.flights.init()
	if o == nil {
		r.setup.Store(s)
		return
	}
	if o.Families != nil {
		s.families = o.Families
	}
	if o.Logger != nil {
		s.log = o.Logger
	}
	s.prefer = o.Prefer
	for _, ap := range o.Servers {
		a := ap.Addr().Unmap()
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			s.log.Warn("name server left out: no address of a host", "server", ap)
			continue
		}
		port := ap.Port()
		if port == 0 {
			port = dnsPort
		}
		if ap = netip.AddrPortFrom(a, port); !slices.Contains(s.servers, ap) {
			s.servers = append(s.servers, ap)
		}
	}
	for _, domain := range o.Search {
		d, err := absolute(domain)
		if err != nil {
			s.log.Warn("search domain left out", "domain", domain, "err", err)
			continue
		}
		if !slices.Contains(s.search, d) {
			s.search = append(s.search, d)
		}
	}
	if !slices.Equal(old.servers, s.servers) || !slices.Equal(old.search, s.search) {
		s.log.Debug("name servers changed", "servers", s.servers, "search", s.search)
	}
	r.setup.Store(s)
}

// LookupHost is LookupNetIP with addresses as text, as net.Resolver has it.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	addrs, err := r.LookupNetIP(ctx, host)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out, nil
}
