// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers"
)

// A datagram as the fake network carries it.
type datagram struct {
	from, to netip.AddrPort
	data     []byte
}

// fakeNet is an in-process UDP network. Every host has one IPv4 address; a NAT
// in front of it may show another source.
type fakeNet struct {
	mu    sync.Mutex
	socks map[netip.AddrPort]*fakeSocket
	sent  []datagram // all that was ever sent, in order
}

func newFakeNet() *fakeNet { return &fakeNet{socks: make(map[netip.AddrPort]*fakeSocket)} }

// listenAt returns a listen function for a host.
func (n *fakeNet) listenAt(host netip.Addr) func(string, netip.AddrPort, *batching.Options) (peers.Socket, error) {
	next := uint16(40000)
	return func(network string, addr netip.AddrPort, _ *batching.Options) (peers.Socket, error) {
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
		if n.socks[at] != nil {
			return nil, syscall.EADDRINUSE
		}
		s := &fakeSocket{net: n, at: at, in: make(chan datagram, 4096), closed: make(chan struct{})}
		s.source.Store(&at)
		n.socks[at] = s
		return s, nil
	}
}

// inject delivers a datagram as if it had come from an arbitrary address.
func (n *fakeNet) inject(d datagram) {
	n.mu.Lock()
	s := n.socks[d.to]
	n.mu.Unlock()
	if s != nil {
		select {
		case s.in <- d:
		default:
		}
	}
}

func (n *fakeNet) socket(at netip.AddrPort) *fakeSocket {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.socks[at]
}

// alias makes a socket reachable, and seen, at another address, as a NAT does
// after it has forgotten a mapping.
func (n *fakeNet) alias(s *fakeSocket, at netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.socks, *s.source.Load())
	n.socks[at] = s
	s.source.Store(&at)
}

func (n *fakeNet) log() []datagram {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.sent)
}

type fakeSocket struct {
	net    *fakeNet
	at     netip.AddrPort
	source atomic.Pointer[netip.AddrPort]
	in     chan datagram
	closed chan struct{}
	once   sync.Once
	mark   atomic.Uint32

	// refuse decides whether the kernel refuses a destination.
	refuse atomic.Pointer[func(*batching.Destination) error]
	// quiet sockets deliver nothing and remember nothing: for benchmarks.
	quiet atomic.Bool
}

func (s *fakeSocket) ReadBatch(slab []byte, pkts []batching.Packet) (int, error) {
	var d datagram
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	case d = <-s.in:
	}
	off, n := 0, 0
	for {
		size := copy(slab[off:], d.data)
		pkts[n] = batching.Packet{Offset: off, Size: size, Remote: d.from, Local: s.at.Addr(), IfIndex: 1}
		off += size
		n++
		if n == len(pkts) {
			return n, nil
		}
		select {
		case d = <-s.in:
		default:
			return n, nil
		}
	}
}

func (s *fakeSocket) WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, _ geneve.VNI) (int, error) {
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
	}
	if f := s.refuse.Load(); f != nil {
		if err := (*f)(dst); err != nil {
			return 0, err
		}
	}
	if s.quiet.Load() {
		return len(bufs), nil
	}
	for _, b := range bufs {
		d := datagram{from: *s.source.Load(), to: dst.Remote(), data: slices.Clone(b[offset:])}
		s.net.mu.Lock()
		s.net.sent = append(s.net.sent, d)
		s.net.mu.Unlock()
		s.net.inject(d)
	}
	return len(bufs), nil
}

func (s *fakeSocket) SetMark(m uint32) error                         { s.mark.Store(m); return nil }
func (s *fakeSocket) LocalAddr() netip.AddrPort                      { return s.at }
func (s *fakeSocket) refuseWith(f func(*batching.Destination) error) { s.refuse.Store(&f) }

func (s *fakeSocket) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		delete(s.net.socks, *s.source.Load())
	})
	return nil
}

func addrPort(tb testing.TB, s string) netip.AddrPort {
	tb.Helper()
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}
