// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxNames is how many names an association remembers.
	maxNames = 64
	// nameAge is how long. The resolver knows how long an answer is good for; this
	// only saves asking it for each datagram.
	nameAge = 30 * time.Second
)

// socksNames are the names that a client sends to.
type socksNames struct {
	// Immutable.
	lookup lookupFunc
	a      *association

	mu      sync.Mutex // guards below
	known   map[string]*socksName
	waiting int // datagrams
}

// A socksName is a name and what waits for its address.
type socksName struct {
	asking  bool
	addr    netip.Addr // invalid: not found
	until   time.Time  // when it has to be asked for again
	pending []pendingDatagram
}

type pendingDatagram struct {
	port uint16
	data []byte
}

func (n *socksNames) init(lookup lookupFunc, a *association) {
	n.lookup, n.a = lookup, a
	n.known = make(map[string]*socksName)
}

// find returns the address that d is for. It is invalid when that is not known:
// then d was counted, or a copy waits and is sent when it is.
func (n *socksNames) find(ctx context.Context, d *socksDatagram) netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.known[string(d.name)]
	if e != nil && !e.asking {
		// A clock reading for each datagram with a name: 50 ns.
		if time.Now().Before(e.until) {
			if e.addr.IsValid() {
				return netip.AddrPortFrom(e.addr, d.port)
			}
			n.a.count.dropResolve.Add(1)
			return netip.AddrPort{}
		}
	}
	if e == nil {
		if addr, err := netip.ParseAddr(string(d.name)); err == nil {
			return netip.AddrPortFrom(addr.Unmap().WithZone(""), d.port)
		}
	}
	if n.waiting >= maxPending || e == nil && !n.makeRoomLocked() {
		n.a.count.dropFull.Add(1)
		return netip.AddrPort{}
	}
	if e == nil {
		e = &socksName{}
		n.known[string(d.name)] = e
	}
	e.pending = append(e.pending, pendingDatagram{d.port, slices.Clone(d.data)})
	n.waiting++
	if !e.asking {
		e.asking = true
		name := string(d.name)
		n.a.wg.Go(func() { n.ask(ctx, name, e) }) // by the reader, which is part of it
	}
	return netip.AddrPort{}
}

// makeRoomLocked makes room for another name. It reports false when all are
// being asked for.
func (n *socksNames) makeRoomLocked() bool {
	if len(n.known) < maxNames {
		return true
	}
	for name, e := range n.known {
		if !e.asking {
			delete(n.known, name)
			return true
		}
	}
	return false
}

// ask finds the address of e and sends what waits for it.
func (n *socksNames) ask(ctx context.Context, name string, e *socksName) {
	addr, err := lookupOne(ctx, n.lookup, name, n.a.usable)
	for {
		n.mu.Lock()
		pending := e.pending
		e.pending = nil
		n.waiting -= len(pending)
		if len(pending) == 0 || err != nil {
			// Nothing can come before what was sent here.
			e.asking = false
			e.addr, e.until = addr, time.Now().Add(nameAge)
			if err != nil {
				e.until = time.Now().Add(lookupPause)
				n.a.count.dropResolve.Add(uint64(len(pending)))
			}
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
		for _, p := range pending {
			n.a.send(netip.AddrPortFrom(addr, p.port), [][]byte{p.data})
		}
	}
}
