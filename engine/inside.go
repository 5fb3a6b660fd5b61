// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net/netip"
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/internal/hostnet"
)

const (
	// insideFor is how long a route is taken to stay what it was, beside what the
	// host tells of changes.
	insideFor = 30 * time.Second
	// maxInside bounds the addresses that are remembered.
	maxInside = 4096
)

// inside knows which addresses the host would send through the tunnel itself. It is
// asked by path discovery: the tunnel must not be a path to its own peers. A router
// whose packets are not routed by the host has none.
type inside struct {
	index int // of the tunnel's interface

	mu    sync.Mutex
	mark  uint32
	known map[netip.Addr]insideEntry
}

type insideEntry struct {
	yes   bool
	until time.Time
}

func newInside(index int) *inside {
	return &inside{index: index, known: make(map[netip.Addr]insideEntry)}
}

// forget is called when routes, or the mark of what the router sends, may have
// changed.
func (in *inside) forget(mark uint32) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.mark = mark
	clear(in.known)
}

// leadsTo reports whether packets to addr go through the tunnel.
func (in *inside) leadsTo(addr netip.Addr) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := time.Now()
	if e, ok := in.known[addr]; ok && now.Before(e.until) {
		return e.yes
	}
	out, err := hostnet.RouteInterface(addr, netip.Addr{}, in.mark)
	if len(in.known) >= maxInside {
		clear(in.known)
	}
	yes := err == nil && out == in.index
	in.known[addr] = insideEntry{yes, now.Add(insideFor)}
	return yes
}
