// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// attemptDelay is how long an attempt has before the next address is tried
// beside it (RFC 8305, section 5).
const attemptDelay = 250 * time.Millisecond

// connectTimeout ends a TCP handshake that the other side does not answer: with
// the first request and four copies of it it has 1+2+4+8+16 = 31 s, as on Linux
// with tcp_syn_retries 4. The stack would go on for 1+2+…+64 = 127 s, and has no
// working option for that (gVisor transport/tcp/connect.go, backoffTimer,
// 2026-09).
const connectTimeout = 31 * time.Second

// DialContext connects to address, host:port. network is tcp, tcp4, tcp6, udp,
// udp4 or udp6; the host an IP address, or a name for the host's resolver (see
// Options.DNS). The addresses of a name are raced (RFC 8305, section 5): one
// that does not answer costs 250 ms. When ctx ends first, its error is
// returned; it has no effect afterwards. An address that does not answer at all
// is ETIMEDOUT after 31 s.
//
// Networks ping, ping4 and ping6 take a host without a port. Such a connection
// is a ping socket: Write takes one ICMP echo request, Read returns one echo
// reply, both as messages from the type byte on (IPv4: type 8 and 0, IPv6: 128
// and 129). The stack fills in checksum and identifier and keeps replies to
// others away. [Net.Ping] is simpler when the time is all that matters.
//
// Loopback addresses are unreachable: the host has none.
func (n *Net) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := n.check(); err != nil {
		return nil, opError("dial", "", network, nil, nil, err)
	}
	transport, f, host, port, err := dialTarget(ctx, network, address)
	if err != nil {
		return nil, opError("dial", "", network, nil, nil, err)
	}
	addrs, err := n.hostAddresses(ctx, f, host)
	if err != nil {
		return nil, opError("dial", "", network, nil, nil, err)
	}
	dial := n.dialTCP
	switch transport {
	case "udp":
		dial = n.dialUDP
	case "ping":
		dial = n.dialPing
	}
	return race(ctx, addrs, attemptDelay, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
		return dial(ctx, network, netip.AddrPortFrom(a, port))
	})
}

// dialTarget takes apart what DialContext is called with.
func dialTarget(ctx context.Context, network, address string) (transport string, f family, host string, port uint16, err error) {
	switch network {
	case "ping":
		return network, 0, address, 0, nil
	case "ping4":
		return "ping", 4, address, 0, nil
	case "ping6":
		return "ping", 6, address, 0, nil
	}
	if transport, f, err = splitNetwork(network); err == nil {
		host, port, err = splitAddress(ctx, network, address)
	}
	return transport, f, host, port, err
}

// reachable returns an error for addresses that must not be sent to: packets to
// them never leave a host (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3).
func reachable(a netip.Addr) error {
	if a.IsLoopback() || a.IsUnspecified() {
		return syscall.ENETUNREACH
	}
	return nil
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
	if err := reachable(to.Addr()); err != nil {
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
	timer := time.NewTimer(c.net.connectTimeout)
	defer timer.Stop()
	for {
		select {
		case <-c.writable:
		case <-c.net.done:
			return net.ErrClosed
		case <-timer.C:
			return syscall.ETIMEDOUT
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
		err = reachable(to.Addr())
	}
	if err == nil {
		var c *udpConn
		if c, err = newUDPConn(n, network, nil, &to, netProto(to.Addr()), false); err == nil {
			return c, nil
		}
	}
	return nil, opError("dial", "connect", network, nil, net.UDPAddrFromAddrPort(to), err)
}
