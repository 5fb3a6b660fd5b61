// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Net is the network as a host inside the tunnel sees it: what package net is
// for the host outside. Its errors are those of package net: *net.OpError with
// net.ErrClosed, os.ErrDeadlineExceeded, a context's error or a syscall.Errno.
//
// TCP connections have CloseRead, CloseWrite and SetLinger as *net.TCPConn has
// them, and UDP sockets are both net.Conn and net.PacketConn, with
// ReadFromUDPAddrPort and WriteToUDPAddrPort, which do not allocate.
type Net struct {
	// Immutable.
	stack     *stack.Stack
	lookup    func(ctx context.Context, host string) ([]netip.Addr, error)
	keepAlive time.Duration
	done      chan struct{} // closed by close

	mu     sync.Mutex // guards below
	closed bool
	open   map[*endpoint]struct{} // endpoints that close has to end
}

func newNet(d *Device, o *Options) *Net {
	return &Net{
		stack:     d.stack,
		lookup:    o.LookupHost,
		keepAlive: o.KeepAlive,
		done:      make(chan struct{}),
		open:      make(map[*endpoint]struct{}),
	}
}

// add makes close end e, or ends it now if the device is closed.
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

// close ends all that is open and all that will be.
func (n *Net) close() {
	n.mu.Lock()
	n.closed = true
	close(n.done)
	open := make([]*endpoint, 0, len(n.open))
	for e := range n.open {
		open = append(open, e)
	}
	n.mu.Unlock()
	for _, e := range open {
		e.abort()
	}
}
