// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"bytes"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

var (
	_ net.Conn       = (*udpConn)(nil)
	_ net.PacketConn = (*udpConn)(nil)
)

// udpConn is a UDP socket, connected or not.
type udpConn struct {
	endpoint
	ip6  bool              // the endpoint is IPv6, perhaps for IPv4 too
	sink tcpip.SliceWriter // guarded by reading
	src  bytes.Reader      // guarded by writing
	to   tcpip.FullAddress // guarded by writing
}

// newUDPConn makes a socket bound to local or connected to remote, whichever
// is not nil, and registers it.
func newUDPConn(n *Net, network string, local, remote *netip.AddrPort, proto tcpip.NetworkProtocolNumber, only bool) (*udpConn, error) {
	wq := new(waiter.Queue)
	ep, terr := n.stack.NewEndpoint(udp.ProtocolNumber, proto, wq)
	if terr != nil {
		return nil, stackError(terr)
	}
	c := &udpConn{ip6: proto == header.IPv6ProtocolNumber}
	c.init(n, network, ep, wq)
	ep.SocketOptions().SetV6Only(only)
	if local != nil {
		terr = ep.Bind(toLocal(*local))
	} else {
		terr = ep.Connect(toFull(*remote))
		c.remote = net.UDPAddrFromAddrPort(*remote)
	}
	var f tcpip.FullAddress
	if terr == nil {
		f, terr = ep.GetLocalAddress()
	}
	if terr != nil {
		err := c.closedOr(terr)
		c.abort()
		return nil, err
	}
	c.local = net.UDPAddrFromAddrPort(fromFull(f, c.ip6))
	if err := n.add(&c.endpoint); err != nil {
		return nil, err
	}
	return c, nil
}

// Read reads one datagram. What does not fit b is lost.
func (c *udpConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFromUDPAddrPort(b)
	return n, err
}

// ReadFrom is Read and returns the sender, a *net.UDPAddr.
func (c *udpConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without an allocated address.
func (c *udpConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.check(&c.readBy); err != nil {
		return 0, netip.AddrPort{}, c.fail("read", "recvfrom", err)
	}
	defer func() { c.sink = nil }()
	for {
		c.sink = b
		res, terr := c.ep.Read(&c.sink, tcpip.ReadOptions{NeedRemoteAddr: true})
		switch terr.(type) {
		case nil:
			return res.Count, fromFull(res.RemoteAddr, c.ip6), nil
		case *tcpip.ErrBadBuffer: // b is empty and the datagram is not
			return 0, fromFull(res.RemoteAddr, c.ip6), nil
		case *tcpip.ErrWouldBlock:
		default:
			return 0, netip.AddrPort{}, c.failStack("read", "recvfrom", terr)
		}
		if err := c.wait(c.readable, &c.readBy); err != nil {
			return 0, netip.AddrPort{}, c.fail("read", "recvfrom", err)
		}
	}
}

// Write sends b as one datagram to the peer of a connected socket.
func (c *udpConn) Write(b []byte) (int, error) {
	n, err := c.send(b, nil)
	if err != nil {
		return n, c.fail("write", "write", err)
	}
	return n, nil
}

// WriteTo sends b as one datagram to addr, a *net.UDPAddr. A connected socket
// refuses it with net.ErrWriteToConnected.
func (c *udpConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	ua, ok := addr.(*net.UDPAddr)
	if !ok || ua == nil {
		return 0, opError("write", "sendto", c.network, c.local, addr, net.InvalidAddrError("not a UDP address"))
	}
	return c.WriteToUDPAddrPort(b, ua.AddrPort())
}

// WriteToUDPAddrPort is WriteTo without an allocated address.
func (c *udpConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	var err error
	n := 0
	switch a := to.Addr().Unmap().WithZone(""); {
	case c.remote != nil:
		err = net.ErrWriteToConnected
	case !a.IsValid() || a.Is6() && !c.ip6:
		err = net.InvalidAddrError("not an address of the socket's family")
	default:
		to = netip.AddrPortFrom(a, to.Port())
		n, err = c.send(b, &to)
	}
	if err != nil {
		return n, opError("write", "sendto", c.network, c.local, net.UDPAddrFromAddrPort(to), err)
	}
	return n, nil
}

// send sends one datagram, waiting for room in the send buffer.
func (c *udpConn) send(b []byte, to *netip.AddrPort) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.check(&c.writeBy); err != nil {
		return 0, err
	}
	var opts tcpip.WriteOptions
	if to != nil {
		c.to = toFull(*to)
		opts.To = &c.to
	}
	defer c.src.Reset(nil)
	for {
		c.src.Reset(b)
		n, terr := c.ep.Write(&c.src, opts)
		switch terr.(type) {
		case nil:
			return int(n), nil
		case *tcpip.ErrWouldBlock:
		default:
			return 0, c.closedOr(terr)
		}
		if err := c.wait(c.writable, &c.writeBy); err != nil {
			return 0, err
		}
	}
}
