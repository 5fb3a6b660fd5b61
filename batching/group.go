// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lingering is how long a socket that leaves its group is still read after the
// last packet was sent its way: packets that the kernel had under way arrive
// within microseconds.
const lingering = 50 * time.Millisecond

// A Group is a number of sockets of one family on one address and port. The
// kernel gives each remote address and port one of them, as long as their number
// does not change; any of them can send. All methods are safe for concurrent use.
//
// Every member needs a reader, or what the kernel gives it is lost. A group of one
// is a plain socket, whose port nobody can share.
type Group struct {
	network string
	addr    netip.AddrPort // with the port in use
	open    openFunc       // opens one more; tests replace it

	members atomic.Pointer[[]*Conn] // changes with mu held; the slice never does

	mu      sync.Mutex // guards the fields below
	opts    Options
	leaving []*Conn // left, and not closed by their readers yet
	steered bool    // the kernel gives everything to the first
	closed  bool
}

type openFunc func(network string, addr netip.AddrPort, opts Options, sharing bool) (*Conn, error)

// ListenGroup opens n sockets as [Listen] opens one; n below 1 is 1. It is an error
// only when not even one can be opened; when fewer than n can, a warning in the
// log says why, and Conns has fewer.
//
// The port must be free: a group does not join sockets of somebody else. Programs
// of the same user that ask for it (SO_REUSEPORT) can join a group of more than
// one, though.
func ListenGroup(network string, addr netip.AddrPort, n int, o *Options) (*Group, error) {
	opts := o.withDefaults()
	first, err := listen(network, addr, opts, false)
	if err != nil {
		return nil, err
	}
	g := &Group{network: network, addr: first.local, open: listen, opts: opts}
	g.members.Store(&[]*Conn{first})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.growLocked(n)
	return g, nil
}

// Conns returns the members, at least one. The caller does not change the slice.
func (g *Group) Conns() []*Conn { return *g.members.Load() }

// LocalAddr returns the address that all members are bound to.
func (g *Group) LocalAddr() netip.AddrPort { return g.addr }

// Resize opens or gives up sockets until there are n, or as many as can be opened;
// n below 1 is 1. It returns those it opened, which need readers. The others stay
// as they are.
//
// A socket that is given up gets no new packets (before Linux 5.3 it may get some
// until it is closed, which are lost). Its ReadBatch returns what was under way to
// it and then io.EOF; its reader closes it then. The error is [net.ErrClosed].
func (g *Group) Resize(n int) (added []*Conn, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, net.ErrClosed
	}
	if n = max(n, 1); n < len(g.Conns()) {
		g.shrinkLocked(n)
		return nil, nil
	}
	return g.growLocked(n), nil
}

func (g *Group) growLocked(n int) (added []*Conn) {
	members := g.Conns()
	if n <= len(members) {
		return nil
	}
	err := members[0].share(true)
	for err == nil && len(members)+len(added) < n {
		var c *Conn
		if c, err = g.open(g.network, g.addr, g.opts, true); err == nil {
			added = append(added, c)
		}
	}
	if err != nil {
		g.opts.Logger.Warn("fewer udp sockets than asked for", "network", g.network, "addr", g.addr,
			"asked", n, "open", len(members)+len(added), "err", err)
	}
	members = slices.Concat(members, added)
	g.members.Store(&members)
	if len(added) > 0 {
		g.opts.Logger.Info("udp sockets share a port", "network", g.network, "addr", g.addr, "sockets", len(members))
	}
	g.settleLocked()
	return added
}

func (g *Group) shrinkLocked(n int) {
	members := g.Conns()
	stay, leave := members[:n:n], members[n:]
	g.opts.Logger.Info("udp sockets given up", "network", g.network, "addr", g.addr, "sockets", n)
	g.steered = members[0].steer(true) == nil
	g.members.Store(&stay)
	for _, c := range leave {
		g.leaving = append(g.leaving, c)
		c.leave(func() { g.gone(c) })
	}
}

// gone is called by a leaving member that was closed.
func (g *Group) gone(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaving = slices.DeleteFunc(g.leaving, func(o *Conn) bool { return o == c })
	g.settleLocked()
}

// settleLocked lets the kernel distribute packets again once all that are leaving
// are gone, and keeps others from the port when it is not shared.
func (g *Group) settleLocked() {
	if g.closed || len(g.leaving) > 0 {
		return
	}
	first := g.Conns()[0]
	if g.steered {
		g.steered = first.steer(false) != nil
	}
	if len(g.Conns()) == 1 {
		_ = first.share(false) // it never was, or it is closed
	}
}

// Reconfigure is [Conn.Reconfigure] for all members, and for those opened later.
// On an error those before the one that failed have the new options.
func (g *Group) Reconfigure(o *Options) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return net.ErrClosed
	}
	next := Options{}
	if o != nil {
		next = *o
	}
	next.Logger = g.opts.Logger
	next = next.withDefaults()
	if next == g.opts {
		return nil
	}
	for _, c := range g.Conns() {
		if err := c.Reconfigure(&next); err != nil {
			return err
		}
	}
	g.opts = next
	gso, gro, _ := g.Conns()[0].Capabilities()
	next.Logger.Debug("udp sockets changed", "network", g.network, "addr", g.addr, "sockets", len(g.Conns()), "gso", gso, "gro", gro)
	return nil
}

// SetMark is [Conn.SetMark] for all members, and for those opened later.
func (g *Group) SetMark(mark uint32) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return net.ErrClosed
	}
	for _, c := range g.Conns() {
		if err := c.SetMark(mark); err != nil {
			return err
		}
	}
	g.opts.Mark = mark
	return nil
}

// Close closes all members, and those that are leaving. Closing again does
// nothing.
func (g *Group) Close() error {
	g.mu.Lock()
	closed := g.closed
	g.closed = true
	conns := slices.Concat(g.Conns(), g.leaving)
	g.mu.Unlock()
	if closed {
		return nil
	}
	var errs error
	for _, c := range conns {
		errs = errors.Join(errs, c.Close())
	}
	return errs
}
