// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/tunrouter/tunrouter/netstack/resolver"
)

// Net is the network as a host inside the tunnel sees it: what package net is
// for the host outside. Its errors are those of package net: *net.OpError with
// net.ErrClosed, os.ErrDeadlineExceeded, a context's error or a syscall.Errno.
//
// TCP connections have CloseRead, CloseWrite, SetLinger, ReadFrom and WriteTo as
// *net.TCPConn has them. UDP sockets are both net.Conn and net.PacketConn, and have
// ReadFromUDPAddrPort and WriteToUDPAddrPort as *net.UDPConn has them.
type Net struct {
	// Immutable.
	device         *Device
	stack          *stack.Stack
	lookup         func(ctx context.Context, host string) ([]netip.Addr, error)
	resolver       *resolver.Resolver
	keepAlive      time.Duration
	connectTimeout time.Duration
	done           chan struct{} // closed by shut

	movers movers

	mu     sync.Mutex // guards below
	closed bool
	open   map[*endpoint]struct{} // endpoints that abort has to end
}

func newNet(d *Device, o *Options) *Net {
	n := &Net{
		device:         d,
		stack:          d.stack,
		keepAlive:      o.KeepAlive,
		connectTimeout: connectTimeout,
		done:           make(chan struct{}),
		open:           make(map[*endpoint]struct{}),
	}
	n.setResolver(d, o)
	return n
}

// check returns net.ErrClosed once the device is closed.
func (n *Net) check() error {
	select {
	case <-n.done:
		return net.ErrClosed
	default:
		return nil
	}
}

// add makes abort end e, or ends it now if the device is closed.
func (n *Net) add(e *endpoint) error {
	n.mu.Lock()
	if !n.closed {
		n.open[e] = struct{}{}
		n.mu.Unlock()
		return nil
	}
	n.mu.Unlock()
	e.abort()
	return net.ErrClosed
}

func (n *Net) remove(e *endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, e)
}

// shut ends all calls, now and later, with net.ErrClosed.
func (n *Net) shut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	close(n.done)
}

// abort ends all endpoints, after shut. It takes their locks, so nobody may
// wait in a ring any more.
func (n *Net) abort() {
	n.mu.Lock()
	open := slices.Collect(maps.Keys(n.open))
	n.mu.Unlock()
	for _, e := range open {
		e.abort()
	}
}
