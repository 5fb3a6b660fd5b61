// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"context"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// attemptDelay is how long an attempt has before the next address is tried
// beside it (RFC 8305, section 5).
const attemptDelay = 250 * time.Millisecond

// DialContext connects to address, host:port. network is tcp, tcp4, tcp6, udp,
// udp4 or udp6; the host an IP address, or a name if Options.LookupHost is set.
// When ctx ends first, its error is returned; it has no effect afterwards.
func (n *Net) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := n.check(); err != nil {
		return nil, opError("dial", "", network, nil, nil, err)
	}
	transport, f, err := splitNetwork(network)
	if err != nil {
		return nil, opError("dial", "", network, nil, nil, err)
	}
	host, port, err := splitAddress(ctx, network, address)
	if err != nil {
		return nil, opError("dial", "", network, nil, nil, err)
	}
	addrs, err := n.hostAddresses(ctx, f, host)
	if err != nil {
		return nil, opError("dial", "", network, nil, nil, err)
	}
	dial := n.dialTCP
	if transport == "udp" {
		dial = n.dialUDP
	}
	return race(ctx, addrs, attemptDelay, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
		return dial(ctx, network, netip.AddrPortFrom(a, port))
	})
}

// hostAddresses returns the addresses of host in the family, at least one.
func (n *Net) hostAddresses(ctx context.Context, f family, host string) ([]netip.Addr, error) {
	if host == "" {
		return nil, &net.AddrError{Err: "missing host", Addr: host}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap().WithZone("")
		if !f.has(a) {
			return nil, &net.AddrError{Err: "not an address of the network", Addr: host}
		}
		return []netip.Addr{a}, nil
	}
	if n.lookup == nil {
		return nil, &net.DNSError{Err: "no resolver is configured", Name: host, IsNotFound: true}
	}
	found, err := n.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		if a = a.Unmap().WithZone(""); a.IsValid() && f.has(a) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no suitable address", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

// race calls dial for each address in order, the next one when the last has
// failed or after delay, and returns the first connection or the first error.
// All calls have returned when it does; connections too many are closed.
func race(ctx context.Context, addrs []netip.Addr, delay time.Duration, dial func(context.Context, netip.Addr) (net.Conn, error)) (net.Conn, error) {
	if len(addrs) == 1 {
		return dial(ctx, addrs[0])
	}
	type result struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result)
	next := time.NewTimer(0)
	defer next.Stop()
	var won result
	for started, ended := 0, 0; ended < started || won.conn == nil && started < len(addrs); {
		tick := next.C
		if won.conn != nil || started == len(addrs) {
			tick = nil
		}
		select {
		case <-tick:
			a := addrs[started]
			started++
			go func() {
				conn, err := dial(ctx, a)
				results <- result{conn, err}
			}()
			next.Reset(delay)
		case r := <-results:
			ended++
			switch {
			case r.conn == nil && won.err == nil:
				won.err = r.err
			case r.conn != nil && won.conn == nil:
				won.conn = r.conn
				cancel()
			case r.conn != nil:
				r.conn.Close()
			}
			next.Reset(0)
		}
	}
	if won.conn != nil {
		return won.conn, nil
	}
	return nil, won.err
}

func (n *Net) dialTCP(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	remote := net.TCPAddrFromAddrPort(to)
	fail := func(err error) (net.Conn, error) {
		return nil, opError("dial", "connect", network, nil, remote, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	wq := new(waiter.Queue)
	ep, terr := n.stack.NewEndpoint(tcp.ProtocolNumber, netProto(to.Addr()), wq)
	if terr != nil {
		return fail(stackError(terr))
	}
	c := newTCPConn(n, network, ep, wq)
	if err := n.add(&c.endpoint); err != nil {
		return fail(err)
	}
	if err := c.connect(ctx, to); err != nil {
		if c.isClosed() { // the device, meanwhile
			err = net.ErrClosed
		}
		c.abort()
		return fail(err)
	}
	return c, nil
}

// connect makes the handshake.
func (c *tcpConn) connect(ctx context.Context, to netip.AddrPort) error {
	terr := c.ep.Connect(toFull(to))
	if _, started := terr.(*tcpip.ErrConnectStarted); !started {
		if terr != nil {
			return stackError(terr)
		}
		return c.established()
	}
	for {
		select {
		case <-c.writable:
		case <-c.net.done:
			return net.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
		if terr := c.ep.LastError(); terr != nil {
			return stackError(terr)
		}
		if s := tcp.EndpointState(c.ep.State()); s != tcp.StateConnecting && s != tcp.StateSynSent && s != tcp.StateSynRecv {
			return c.established()
		}
	}
}

func (n *Net) dialUDP(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	err := ctx.Err()
	if err == nil {
		var c *udpConn
		if c, err = newUDPConn(n, network, nil, &to, netProto(to.Addr()), false); err == nil {
			return c, nil
		}
	}
	return nil, opError("dial", "connect", network, nil, net.UDPAddrFromAddrPort(to), err)
}
