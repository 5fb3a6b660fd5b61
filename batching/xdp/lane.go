// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

// A socket is what a Conn needs of an AF_XDP socket; [*xsk.Socket] is one.
type socket interface {
	BatchRead(frames []xsk.Frame) (n int, err error)
	Receive(frames []xsk.Frame) (n int, err error)
	Release(frames []xsk.Frame) error
	Alloc(frames []xsk.Frame) (n int, err error)
	Free(frames []xsk.Frame) error
	Transmit(frames []xsk.Frame) (n int, err error)
	WaitWrite() error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	Stats() xsk.Stats
	ZeroCopy() bool
	Close() error
}

// A routeTable says who takes a packet next; [*nexthop.Table] is one.
type routeTable interface {
	Lookup(dst, src netip.Addr) (nexthop.Hop, nexthop.Reason)
}

// A host is what the interface answers to. Immutable.
type host struct {
	mac   frame.MAC
	addrs map[netip.Addr]struct{}
}

// A site is where the lanes of one activation are: an interface. It ends with the
// activation.
type site struct {
	index  int    // of the interface with the addresses
	name   string // likewise
	tag    frame.Tag
	routes routeTable
	host   atomic.Pointer[host]
}

// A lane is one queue of a site with its socket. The Conn of that queue borrows it
// until it is retired.
type lane struct {
	site    *site
	sock    socket
	segment bool // bulk is for the kernel's sockets

	leaving atomic.Bool   // nothing new comes; read what is there
	over    chan struct{} // closed by the reader when it has read all of a lane that leaves
}

func newLane(s *site, sock socket, segment batching.Mode) *lane {
	cheaper := segment == batching.On || segment == batching.Auto && !sock.ZeroCopy()
	return &lane{site: s, sock: sock, segment: cheaper, over: make(chan struct{})}
}
