// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"context"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// backlog is how many connections may wait for Accept, the usual limit of
// Linux (net.core.somaxconn), and how many handshakes a listener keeps, 5 KiB
// each. Clients beyond that connect by SYN cookies, without window scaling: a
// flood of requests makes others slower but does not keep them out.
const backlog = 4096

var _ net.Listener = (*tcpListener)(nil)

// tcpListener accepts TCP connections.
type tcpListener struct{ endpoint }

// Listen listens for TCP connections: network is tcp, tcp4 or tcp6, address
// host:port. The host is an address of the device, or empty for all of them,
// present and future, of both families unless network names one. Port 0
// chooses a free port, see Addr.
func (n *Net) Listen(network, address string) (net.Listener, error) {
	local, proto, only, err := listenAddress("tcp", network, address)
	if err != nil {
		return nil, opError("listen", "bind", network, nil, nil, err)
	}
	if err := n.check(); err != nil {
		return nil, opError("listen", "", network, nil, net.TCPAddrFromAddrPort(local), err)
	}
	l, call, err := n.listenTCP(network, local, proto, only)
	if err != nil {
		return nil, opError("listen", call, network, nil, net.TCPAddrFromAddrPort(local), err)
	}
	return l, nil
}

func (n *Net) listenTCP(network string, local netip.AddrPort, proto tcpip.NetworkProtocolNumber, only bool) (*tcpListener, string, error) {
	wq := new(waiter.Queue)
	ep, terr := n.stack.NewEndpoint(tcp.ProtocolNumber, proto, wq)
	if terr != nil {
		return nil, "socket", stackError(terr)
	}
	l := &tcpListener{}
	l.init(n, network, ep, wq)
	ep.SocketOptions().SetReuseAddress(true) // connections in TIME_WAIT do not keep the port
	ep.SocketOptions().SetV6Only(only)
	call := "bind"
	terr = ep.Bind(toLocal(local))
	if terr == nil {
		call = "listen"
		terr = ep.Listen(backlog)
	}
	var f tcpip.FullAddress
	if terr == nil {
		f, terr = ep.GetLocalAddress()
	}
	if terr != nil {
		err := l.closedOr(terr)
		l.abort()
		return nil, call, err
	}
	l.local = net.TCPAddrFromAddrPort(fromFull(f, proto == header.IPv6ProtocolNumber))
	if err := n.add(&l.endpoint); err != nil {
		return nil, call, err
	}
	return l, "", nil
}

// ListenPacket opens a UDP socket: network is udp, udp4 or udp6, address as for
// Listen. Its connections are *net.UDPConn in all but type: see [Net].
func (n *Net) ListenPacket(network, address string) (net.PacketConn, error) {
	local, proto, only, err := listenAddress("udp", network, address)
	if err != nil {
		return nil, opError("listen", "bind", network, nil, nil, err)
	}
	if err := n.check(); err != nil {
		return nil, opError("listen", "", network, nil, net.UDPAddrFromAddrPort(local), err)
	}
	c, err := newUDPConn(n, network, &local, nil, proto, only)
	if err != nil {
		return nil, opError("listen", "bind", network, nil, net.UDPAddrFromAddrPort(local), err)
	}
	return c, nil
}

// listenAddress returns what to bind to. The wildcard has the zero Addr, with
// an IPv6 endpoint that takes IPv4 too unless network or host ask for one.
func listenAddress(transport, network, address string) (local netip.AddrPort, proto tcpip.NetworkProtocolNumber, only bool, err error) {
	got, f, err := splitNetwork(network)
	if err != nil {
		return local, 0, false, err
	}
	if got != transport {
		return local, 0, false, net.UnknownNetworkError(network)
	}
	host, port, err := splitAddress(context.Background(), network, address)
	if err != nil {
		return local, 0, false, err
	}
	var a netip.Addr
	if host != "" {
		if a, err = netip.ParseAddr(host); err != nil {
			return local, 0, false, &net.AddrError{Err: "not an address of the device", Addr: host}
		}
		a = a.Unmap().WithZone("")
		if !f.has(a) {
			return local, 0, false, &net.AddrError{Err: "not an address of the network", Addr: host}
		}
	}
	switch {
	case a.Is4():
		f = 4
	case a.Is6() && !a.IsUnspecified():
		f = 6
	}
	if a.IsUnspecified() {
		a = netip.Addr{}
	}
	proto = header.IPv6ProtocolNumber
	if f == 4 {
		proto = header.IPv4ProtocolNumber
	}
	return netip.AddrPortFrom(a, port), proto, f == 6, nil
}

// Addr returns the address the listener is bound to.
func (l *tcpListener) Addr() net.Addr { return l.local }

// Accept waits for the next connection.
func (l *tcpListener) Accept() (net.Conn, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	for {
		if err := l.check(&l.readBy); err != nil {
			return nil, l.fail("accept", "accept", err)
		}
		ep, wq, terr := l.ep.Accept(nil)
		switch terr.(type) {
		case nil:
			c := newTCPConn(l.net, l.network, ep, wq)
			err := c.established()
			if err != nil {
				c.abort() // gone again before it was asked for
				continue
			}
			if err := l.net.add(&c.endpoint); err != nil {
				return nil, l.fail("accept", "accept", err)
			}
			return c, nil
		case *tcpip.ErrWouldBlock:
		default:
			return nil, l.failStack("accept", "accept", terr)
		}
		if err := l.wait(l.readable, &l.readBy); err != nil {
			return nil, l.fail("accept", "accept", err)
		}
	}
}
