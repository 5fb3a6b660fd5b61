// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/path"
)

const (
	// relayRetry and relayRefresh are how often the name of a relay is looked up:
	// while it has no address, and after.
	relayRetry   = 10 * time.Second
	relayRefresh = 5 * time.Minute
	// addressRefresh is how often the addresses of the host are read where the host
	// does not tell of changes.
	addressRefresh = time.Minute
)

// transportOverhead is what WireGuard adds to a packet as long as the MTU, which it does
// not pad further (whitepaper, section 5.4.6).
const transportOverhead = 32

// updatePathsLocked brings path discovery to what cfg says.
func (e *Engine) updatePathsLocked(cfg *config.Config) {
	e.updateIdentityLocked(cfg)
	e.bind.SetWidth(tunMTU(cfg) + transportOverhead)
	e.relays.set(cfg.Relays)
	e.bind.SetRelays(e.relays.known())
}

// updateIdentityLocked tells the Bind whose discovery it is, if it is on.
func (e *Engine) updateIdentityLocked(cfg *config.Config) {
	private := e.private
	if cfg.Router.Discovery == config.SwitchOff {
		private = peers.Key{}
	}
	if private != e.discovering {
		e.discovering = private
		e.bind.SetIdentity(private)
	}
}

// followPaths keeps what path discovery needs to know of the host up to date until
// ctx ends: names of relays, and addresses.
func (e *Engine) followPaths(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.relays.changed:
		case <-timer.C:
		}
		e.tellAddresses()
		next := e.relays.resolve(ctx, e.lookup())
		e.bind.SetRelays(e.relays.known())
		timer.Reset(min(next, addressRefresh))
	}
}

func (e *Engine) lookup() peers.Lookup {
	if e.opts.Lookup != nil {
		return e.opts.Lookup
	}
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
}

// tellAddresses tells the Bind at which addresses of the host it may be reached.
func (e *Engine) tellAddresses() {
	if len(e.opts.ListenOn) > 0 {
		e.bind.SetLocalAddrs(candidates(e.opts.ListenOn))
		return
	}
	links, err := net.Interfaces()
	if err != nil {
		return // no such thing here: others see our address and say so
	}
	var addrs []netip.Addr
	for _, l := range links {
		if l.Flags&net.FlagUp == 0 || l.Flags&net.FlagLoopback != 0 || e.isTunnel(l.Name) {
			continue
		}
		nets, err := l.Addrs()
		if err != nil {
			continue
		}
		for _, n := range nets {
			if n, ok := n.(*net.IPNet); ok {
				if a, ok := netip.AddrFromSlice(n.IP); ok {
					addrs = append(addrs, a.Unmap())
				}
			}
		}
	}
	e.bind.SetLocalAddrs(candidates(addrs))
}

// isTunnel reports whether the interface is the router's own.
func (e *Engine) isTunnel(name string) bool {
	return e.netdev == nil && !e.opts.Elsewhere && name == e.name
}

// candidates returns those of addrs that another host could send to.
func candidates(addrs []netip.Addr) []netip.Addr {
	out := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		return !a.IsGlobalUnicast() || a.IsLoopback() || a.IsLinkLocalUnicast()
	})
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// relayOf translates a section of the configuration.
func relayOf(r *config.Relay) path.Relay {
	out := path.Relay{Key: path.Key(r.PublicKey), Name: r.Endpoint.String()}
	if addr, ok := r.Endpoint.AddrPort(); ok {
		out.Addrs = []netip.AddrPort{addr}
	}
	return out
}
