// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

// subnetDialTimeout is how long a target has to answer: three requests (1 + 2 +
// 4 s), and some. A peer that is still there then asks again.
const subnetDialTimeout = 10 * time.Second

// A subnetConn is a connection of a peer to an address of the host's network.
type subnetConn struct {
	to        netip.AddrPort
	host, tun net.Conn
}

func (c *subnetConn) reset() {
	reset(c.host)
	reset(c.tun)
}

// serveTCP connects first and answers the peer then, with what it would have got
// without a router in between:
//
//	target              peer gets
//	connects            a connection
//	refuses             a reset
//	cannot be reached   a reset; a router would send an ICMP message, which few
//	                    take for more than a hint
//	is silent           nothing
//	is not allowed      a reset
//
// Beyond the limits, and when this host is short of something, the peer gets
// nothing and asks again.
func (r *SubnetRouter) serveTCP(q *netstack.TCPRequest) {
	ctx, ok := r.begin()
	if !ok {
		q.Ignore()
		return
	}
	defer r.work.Done()
	peer, ok := r.admit(q.Source.Addr(), q.Destination.Addr())
	if !ok {
		q.Refuse()
		return
	}
	if !r.tcp.acquire(peer) {
		q.Ignore()
		return
	}
	defer r.tcp.release(peer)
	host, ok := r.connect(ctx, peer, q)
	if !ok {
		return
	}
	tun, err := q.Accept()
	if err != nil {
		reset(host) // the peer has given up
		r.count.resets.Add(1)
		return
	}
	r.count.accepted.Add(1)
	r.join(&subnetConn{q.Destination, host, tun})
}

// connect connects to the target of q, or answers q.
func (r *SubnetRouter) connect(ctx context.Context, peer any, q *netstack.TCPRequest) (net.Conn, bool) {
	if !r.dials.acquire(peer) {
		q.Ignore()
		return nil, false
	}
	defer r.dials.release(peer)
	dctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	host, err := r.dialTCP(dctx, q.Destination)
	if err == nil {
		return host, true
	}
	if ctx.Err() != nil {
		q.Ignore()
		return nil, false
	}
	why := dialFailureOf(err)
	r.count.dial[why].Add(1)
	switch {
	case why == dialRefused, why == dialUnreachableHost, why == dialUnreachableNet,
		errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM): // a firewall of this host
		q.Refuse()
	default:
		q.Ignore()
	}
	return nil, false
}

// join moves bytes between the two sides of c until both have finished.
func (r *SubnetRouter) join(c *subnetConn) {
	r.mu.Lock()
	if r.ended || r.policy.Load().check(c.to.Addr(), r.own.has) != allowed { // since it was admitted
		r.mu.Unlock()
		c.reset()
		return
	}
	r.current[c] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.current, c)
	}()
	r.relay(c.host, c.tun, nil)
}

// peerLimits are limits of peers, whatever a peer is.
type peerLimits struct {
	total, each int // not positive: no limit

	mu      sync.Mutex // guards below
	active  int
	peers   map[any]int
	refused uint64
}

func newPeerLimits(l Limits, total, each int) *peerLimits {
	return &peerLimits{total: cmp.Or(l.Total, total), each: cmp.Or(l.PerClient, each), peers: make(map[any]int)}
}

// acquire takes a place for peer, or counts a refusal.
func (l *peerLimits) acquire(peer any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total > 0 && l.active >= l.total || l.each > 0 && l.peers[peer] >= l.each {
		l.refused++
		return false
	}
	l.active++
	l.peers[peer]++
	return true
}

// release gives a place back.
func (l *peerLimits) release(peer any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	if l.peers[peer]--; l.peers[peer] <= 0 {
		delete(l.peers, peer)
	}
}

func (l *peerLimits) counts() (active int, refused uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active, l.refused
}
