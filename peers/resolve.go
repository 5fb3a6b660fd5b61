// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxLookups bounds the name lookups under way at once.
	maxLookups = 8
	// lookupTimeout bounds one of them.
	lookupTimeout = 10 * time.Second
)

// A Name is an endpoint given by host name. The zero Name is none.
type Name struct {
	Host string
	Port uint16
}

// SetName says by what name the peer is to be found when its address is not
// known or its handshakes go unanswered; the zero Name ends that.
func (e *Endpoint) SetName(n Name) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.name = n
}

// Resolve looks the name of the peer up now and moves the peer to an address
// that it was not at. A peer without a name is left alone.
func (e *Endpoint) Resolve(ctx context.Context) error {
	e.mu.Lock()
	name := e.name
	e.mu.Unlock()
	if name == (Name{}) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addrs, err := e.bind.lookup(ctx, name.Host)
	if err != nil {
		return fmt.Errorf("look up endpoint %s: %w", name.Host, err)
	}
	next, ok := nextAddr(e.bind.reachable(addrs), e.Addr().Addr())
	if !ok {
		return fmt.Errorf("look up endpoint %s: %w", name.Host, errNoUsableAddr)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.name != name {
		return nil // changed meanwhile
	}
	if old, addr := e.Addr(), netip.AddrPortFrom(next, name.Port); old != addr {
		e.SetAddr(addr)
		e.bind.log.Info("endpoint name resolved", "peer", e, "host", name.Host, "addr", addr, "old", old)
	}
	return nil
}

var errNoUsableAddr = errors.New("no address of a family that is open")

// reachable returns those of addrs whose family has a socket, or will have one
// once the Bind is open.
func (b *Bind) reachable(addrs []netip.Addr) []netip.Addr {
	s := b.socks.Load()
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		a = a.Unmap()
		open := b.on[1].IsValid()
		if a.Is4() {
			open = b.on[0].IsValid()
		}
		if s != nil {
			open = len(s.to(a)) > 0
		}
		if open {
			out = append(out, a)
		}
	}
	return out
}

// nextAddr returns the address after cur in addrs, in a circle, or the first
// when cur is not among them: of several addresses of a name each is tried in
// turn.
func nextAddr(addrs []netip.Addr, cur netip.Addr) (netip.Addr, bool) {
	if len(addrs) == 0 {
		return netip.Addr{}, false
	}
	i := slices.Index(addrs, cur)
	return addrs[(i+1)%len(addrs)], true
}

// requestResolve asks [Bind.RunResolver] for a lookup. It never blocks: when too
// many are waiting, the next unanswered initiation asks again.
func (b *Bind) requestResolve(e *Endpoint) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.resolving || e.name == (Name{}) {
		return
	}
	select {
	case b.requests <- e:
		e.resolving = true
	default:
	}
}

// RunResolver looks names up again when handshakes go unanswered, until ctx
// ends. It returns nil, after the lookups under way have ended.
func (b *Bind) RunResolver(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxLookups)
	for {
		var e *Endpoint
		select {
		case <-ctx.Done():
			return nil
		case e = <-b.requests:
		}
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := e.Resolve(ctx); err != nil && ctx.Err() == nil {
				b.log.Warn("endpoint name does not resolve, trying again", "peer", e, "err", err)
			}
			e.mu.Lock()
			e.resolving = false
			e.mu.Unlock()
		})
	}
}
