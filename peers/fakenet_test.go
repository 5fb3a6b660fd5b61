// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/peers"
)

// A datagram as the fake network carries it.
type datagram struct {
	from, to netip.AddrPort
	data     []byte
	by       *fakeSocket // that sent it; nil if it was injected
}

// fakeNet is an in-process UDP network. Every host has one IPv4 address; a NAT
// in front of it may show another source.
type fakeNet struct {
	mu     sync.Mutex
	groups map[netip.AddrPort]*fakeGroup
	sent   []datagram // all that was ever sent, in order
	open   int        // sockets
	// forgetful networks do not keep what was sent.
	forgetful bool
	past      map[netip.AddrPort]*fakeUnderlay // that take what comes to an address
	most      int                              // members that a group can have; 0: any number
	// lost says which datagrams get lost; nil: none.
	lost func(*datagram) bool
}

func newFakeNet() *fakeNet {
	return &fakeNet{groups: make(map[netip.AddrPort]*fakeGroup), past: make(map[netip.AddrPort]*fakeUnderlay)}
}

// listenAt returns a listen function for a host.
func (n *fakeNet) listenAt(host netip.Addr) func(string, netip.AddrPort, int, *batching.Options) (peers.Group, error) {
	next := uint16(40000)
	return func(network string, addr netip.AddrPort, members int, o *batching.Options) (peers.Group, error) {
		if network != "udp4" {
			return nil, syscall.EAFNOSUPPORT
		}
		port := addr.Port()
		if port == 0 {
			next++
			port = next
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		at := netip.AddrPortFrom(host, port)
		if n.groups[at] != nil {
			return nil, syscall.EADDRINUSE
		}
		g := newFakeGroup(n, at, o)
		g.grow(members)
		n.groups[at] = g
		return g, nil
	}
}

// inject delivers a datagram as if it had come from an arbitrary address.
func (n *fakeNet) inject(d datagram) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lost != nil && n.lost(&d) {
		return
	}
	var to *fakeSocket
	if u := n.past[d.to]; u != nil {
		to = u.conns[int(d.from.Port())%len(u.conns)].fakeSocket
	} else if g := n.groups[d.to]; g != nil {
		to = g.receiverOf(d.from)
	}
	if to != nil {
		select {
		case to.in <- d:
		default:
		}
	}
}

// socket returns the first socket at an address.
func (n *fakeNet) socket(at netip.AddrPort) *fakeSocket {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.groups[at].members[0]
}

// alias makes the sockets that s belongs to reachable, and seen, at another
// address, as a NAT does after it has forgotten a mapping.
func (n *fakeNet) alias(s *fakeSocket, at netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.groups, *s.group.source.Load())
	n.groups[at] = s.group
	s.group.source.Store(&at)
}

func (n *fakeNet) log() []datagram {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.sent)
}

// sockets returns how many are open.
func (n *fakeNet) sockets() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

// A fakeGroup is a group of fake sockets. Which of them receives depends on the
// port of the sender.
type fakeGroup struct {
	net    *fakeNet
	at     netip.AddrPort
	source atomic.Pointer[netip.AddrPort]

	// net.mu guards the fields below.
	members, leaving []*fakeSocket
	closed           bool
	opts             batching.Options
	refusal          error // of Reconfigure and Resize
}

func newFakeGroup(n *fakeNet, at netip.AddrPort, o *batching.Options) *fakeGroup {
	g := &fakeGroup{net: n, at: at, opts: *o}
	g.source.Store(&at)
	return g
}

func (g *fakeGroup) receiverOf(from netip.AddrPort) *fakeSocket {
	return g.members[int(from.Port())%len(g.members)]
}

// grow adds members until there are n, or as many as there can be.
func (g *fakeGroup) grow(n int) (added []*fakeSocket) {
	if g.net.most > 0 {
		n = min(n, g.net.most)
	}
	for len(g.members) < n {
		s := newFakeSocket(g)
		g.net.open++
		g.members, added = append(g.members, s), append(added, s)
	}
	return added
}

func (g *fakeGroup) Members() []peers.Socket {
	g.net.mu.Lock()
	defer g.net.mu.Unlock()
	return asSockets(g.members)
}

func (g *fakeGroup) Resize(n int) ([]peers.Socket, error) {
	g.net.mu.Lock()
	defer g.net.mu.Unlock()
	if g.refusal != nil {
		return nil, g.refusal
	}
	for _, s := range g.members[min(n, len(g.members)):] {
		close(s.left)
		g.leaving = append(g.leaving, s)
	}
	g.members = g.members[:min(n, len(g.members))]
	return asSockets(g.grow(n)), nil
}

func (g *fakeGroup) Reconfigure(o *batching.Options) error {
	g.net.mu.Lock()
	defer g.net.mu.Unlock()
	if g.refusal != nil {
		return g.refusal
	}
	g.opts = *o
	return nil
}

// options returns those that the group was opened with or given last.
func (g *fakeGroup) options() batching.Options {
	g.net.mu.Lock()
	defer g.net.mu.Unlock()
	return g.opts
}

func (g *fakeGroup) SetMark(m uint32) error {
	g.net.mu.Lock()
	defer g.net.mu.Unlock()
	g.opts.Mark = m
	return nil
}

func (g *fakeGroup) LocalAddr() netip.AddrPort { return g.at }

func (g *fakeGroup) Close() error {
	g.net.mu.Lock()
	all := slices.Concat(g.members, g.leaving)
	if !g.closed {
		delete(g.net.groups, *g.source.Load())
	}
	g.closed = true
	g.net.mu.Unlock()
	for _, s := range all {
		_ = s.Close() // never fails
	}
	return nil
}

func asSockets(in []*fakeSocket) []peers.Socket {
	out := make([]peers.Socket, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}
