// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers"
)

// A fakeUnderlay takes what comes to the port that it listens on at a host of the
// fake network, as long as it listens.
type fakeUnderlay struct {
	t     testing.TB
	net   *fakeNet
	host  netip.Addr
	conns []*fakeConn
	// pass makes it leave everything to the kernel's sockets.
	pass atomic.Bool
	// outside: the sockets are not those of net.
	outside bool
	// direct counts packets that its conns have sent, passed those they passed on.
	direct, passed atomic.Int64

	mu     sync.Mutex
	port   uint16 // 0: none
	mark   uint32
	beside [2][]peers.Socket
	calls  []string // of Listen with and without a port, and Beside with and without sockets
}

func newFakeUnderlay(t testing.TB, n *fakeNet, host netip.Addr, queues int) *fakeUnderlay {
	u := &fakeUnderlay{t: t, net: n, host: host}
	g := newFakeGroup(n, netip.AddrPortFrom(host, wgPort), &batching.Options{})
	for range queues {
		u.conns = append(u.conns, &fakeConn{fakeSocket: newFakeSocket(g), under: u, dropped: make(map[string]uint64)})
	}
	return u
}

func (u *fakeUnderlay) Members() []peers.Socket {
	out := make([]peers.Socket, len(u.conns))
	for i, c := range u.conns {
		out[i] = c
	}
	return out
}

func (u *fakeUnderlay) Listen(port uint16) {
	u.net.mu.Lock()
	defer u.net.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.port != 0 {
		u.wantSockets(u.port)
		if at := netip.AddrPortFrom(u.host, u.port); u.net.past[at] == u {
			delete(u.net.past, at)
		}
	}
	u.port = port
	if port == 0 {
		u.calls = append(u.calls, "silent")
		return
	}
	u.calls = append(u.calls, "listen")
	u.wantSockets(port)
	select {
	case <-u.conns[0].closed:
		return
	default:
	}
	u.net.past[netip.AddrPortFrom(u.host, port)] = u
}

// wantSockets wants that the kernel's sockets of a port are open: it listens only
// beside them. net.mu is held.
func (u *fakeUnderlay) wantSockets(port uint16) {
	if !u.outside && u.net.groups[netip.AddrPortFrom(u.host, port)] == nil {
		u.t.Errorf("told about port %d, of which no socket is open", port)
	}
}

func (u *fakeUnderlay) Beside(v4, v6 []peers.Socket) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.beside = [2][]peers.Socket{v4, v6}
	what := "beside"
	if len(v4)+len(v6) == 0 {
		what = "alone"
	}
	if n := len(u.calls); n == 0 || u.calls[n-1] != what {
		u.calls = append(u.calls, what)
	}
}

func (u *fakeUnderlay) SetMark(mark uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mark = mark
}

// state returns the port, the mark, and how many sockets are beside.
func (u *fakeUnderlay) state() (port uint16, mark uint32, beside int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.port, u.mark, len(u.beside[0]) + len(u.beside[1])
}

// took returns what it was told since the last time.
func (u *fakeUnderlay) took() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	calls := u.calls
	u.calls = nil
	return calls
}

// close does what an underlay does when its owner closes it.
func (u *fakeUnderlay) close() {
	u.Listen(0)
	for _, c := range u.conns {
		_ = c.Close() // never fails
	}
}

// A fakeConn is one queue of a fakeUnderlay.
type fakeConn struct {
	*fakeSocket
	under *fakeUnderlay

	count   sync.Mutex
	dropped map[string]uint64
}

func (c *fakeConn) WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
	u := c.under
	if !u.pass.Load() {
		n, err := c.fakeSocket.WriteBatch(bufs, offset, dst, vni)
		u.direct.Add(int64(n))
		return n, err
	}
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	u.mu.Lock()
	beside := u.beside[1]
	if dst.Remote().Addr().Is4() {
		beside = u.beside[0]
	}
	u.mu.Unlock()
	if len(beside) == 0 {
		return 0, net.ErrClosed
	}
	n, err := beside[0].WriteBatch(bufs, offset, dst, vni)
	u.passed.Add(int64(n))
	return n, err
}

func (c *fakeConn) Queue(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
	return c.WriteBatch(bufs, offset, dst, vni)
}

// drop makes it have dropped n more packets, and as many for want of room.
func (c *fakeConn) drop(n uint64) {
	c.count.Lock()
	defer c.count.Unlock()
	c.dropped["not_ours"] += n
	c.dropped["overflow"] += n
}

func (c *fakeConn) Stats() (s batching.Stats) {
	c.count.Lock()
	defer c.count.Unlock()
	s.Rx.Dropped = maps.Clone(c.dropped)
	delete(s.Rx.Dropped, "overflow")
	s.Rx.Overflow = c.dropped["overflow"]
	return s
}

func (c *fakeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// sentPast returns by which of the conns each of the datagrams was sent, -1 for the
// kernel's sockets.
func (u *fakeUnderlay) sentPast(by []*fakeSocket) []int {
	out := make([]int, len(by))
	for i, s := range by {
		out[i] = slices.IndexFunc(u.conns, func(c *fakeConn) bool { return c.fakeSocket == s })
	}
	return out
}
