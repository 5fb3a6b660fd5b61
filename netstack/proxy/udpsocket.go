// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/batching"
)

// maxSlabs is how many slabs the readers of a service may hold at a time: 8 MiB on
// Linux.
const maxSlabs = 16

// maxDatagrams is how many datagrams are handed on at a time: what
// netstack.Datagrams carry.
const maxDatagrams = 128

// A udpSocket is a UDP socket of the host for one flow, or for one client. It
// has no memory of its own for datagrams: those that arrive are received into a
// slab of a pool when they are there, those that are sent stay the caller's.
//
// There is one reader. Sending is for any number of goroutines and never waits.
type udpSocket struct {
	udp    *net.UDPConn
	raw    syscall.RawConn
	local  netip.AddrPort
	host   *udpHost
	single atomic.Bool // the path does not take segmented messages
	reader udpReader
}

// A udpHost is what the sockets of a service have in common. It may be used by
// any number of goroutines.
type udpHost struct {
	gso, gro bool // the kernel can segment and merge
	slabs    slabPool
	batches  sync.Pool // of *udpBatch
}

// newUDPHost asks the kernel what it can do, with a socket that is closed again.
func newUDPHost() *udpHost {
	h := &udpHost{}
	h.slabs.init(maxSlabs)
	h.batches.New = func() any { return newUDPBatch() }
	for _, loopback := range []struct{ network, addr string }{{"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}} {
		c, err := batching.Listen(loopback.network, netip.MustParseAddrPort(loopback.addr), &batching.Options{
			AnyProtocol: true, ReceiveBuffer: -1, SendBuffer: -1,
		})
		if err != nil {
			continue // a host without the family
		}
		h.gso, h.gro, _ = c.Capabilities()
		_ = c.Close() // nothing was sent
		break
	}
	return h
}

// dial opens a socket connected to address, host:port.
func (h *udpHost) dial(ctx context.Context, address string) (*udpSocket, error) {
	d := net.Dialer{Control: h.control}
	c, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	return h.open(c.(*net.UDPConn))
}

// listen opens a socket bound to local.
func (h *udpHost) listen(local netip.AddrPort) (*udpSocket, error) {
	lc := net.ListenConfig{Control: h.control}
	c, err := lc.ListenPacket(context.Background(), "udp", local.String())
	if err != nil {
		return nil, err
	}
	return h.open(c.(*net.UDPConn))
}

// adopt takes over a connected socket that was opened elsewhere.
func (h *udpHost) adopt(c *net.UDPConn) (*udpSocket, error) {
	s, err := h.open(c)
	if err != nil {
		return nil, err
	}
	network := "udp4"
	if s.local.Addr().Is6() {
		network = "udp6"
	}
	if err := h.control(network, "", s.raw); err != nil {
		_ = c.Close() // never used
		return nil, err
	}
	return s, nil
}

func (h *udpHost) open(c *net.UDPConn) (*udpSocket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		_ = c.Close() // never used
		return nil, err
	}
	local := c.LocalAddr().(*net.UDPAddr).AddrPort()
	s := &udpSocket{udp: c, raw: raw, host: h, local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port())}
	s.reader.init(s)
	return s, nil
}

// Close ends reads with net.ErrClosed.
func (s *udpSocket) Close() error { return s.udp.Close() }

// wake ends reads, now and later, without waiting for the one that runs: the
// reader closes the socket then.
func (s *udpSocket) wake() { _ = s.udp.SetReadDeadline(time.Unix(1, 0)) } // closed: it has ended

// isRefused reports whether err is the answer that nobody listens there. The
// socket can be used as before.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// A slabPool lends the memory that datagrams are received into, to so many at a
// time: readers wait for their turn when that many are held up by the tunnel.
// What nobody holds is garbage.
type slabPool struct {
	tokens chan struct{}
	slabs  sync.Pool // of *udpSlab
}

func (p *slabPool) init(n int) {
	p.tokens = make(chan struct{}, n)
	p.slabs.New = func() any { return newUDPSlab() }
}

// try returns a slab, or nil when all are lent.
func (p *slabPool) try() *udpSlab {
	select {
	case p.tokens <- struct{}{}:
		return p.slabs.Get().(*udpSlab)
	default:
		return nil
	}
}

// get waits for a slab.
func (p *slabPool) get() *udpSlab {
	p.tokens <- struct{}{}
	return p.slabs.Get().(*udpSlab)
}

// put takes s back. Whoever has waited longest is next.
func (p *slabPool) put(s *udpSlab) {
	p.slabs.Put(s)
	<-p.tokens
}

// isInUse reports whether err is that somebody else has the port.
func isInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
