// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

var _ net.Conn = (*pingConn)(nil)

// pingConn sends ICMP echo requests to one address and receives the replies.
// The stack gives each an identifier of its own, by which it knows the replies.
type pingConn struct {
	endpoint
	request byte              // type of the messages that Write takes
	sink    tcpip.SliceWriter // guarded by reading
	src     bytes.Reader      // guarded by writing
}

// dialPing connects to addr, whose port is 0.
func (n *Net) dialPing(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	err := ctx.Err()
	if err == nil {
		var c *pingConn
		if c, err = newPingConn(n, network, to.Addr()); err == nil {
			return c, nil
		}
	}
	return nil, opError("dial", "connect", network, nil, ipAddr(to.Addr()), err)
}

// newPingConn makes an endpoint connected to addr and registers it.
func newPingConn(n *Net, network string, addr netip.Addr) (*pingConn, error) {
	if err := reachable(addr); err != nil {
		return nil, err
	}
	c := &pingConn{request: echoRequest4}
	proto := icmp.ProtocolNumber4
	if addr.Is6() {
		proto, c.request = icmp.ProtocolNumber6, echoRequest6
	}
	wq := new(waiter.Queue)
	ep, terr := n.stack.NewEndpoint(proto, netProto(addr), wq)
	if terr != nil {
		return nil, stackError(terr)
	}
	c.init(n, network, ep, wq)
	terr = ep.Connect(toFull(netip.AddrPortFrom(addr, 0)))
	var local tcpip.FullAddress
	if terr == nil {
		local, terr = ep.GetLocalAddress()
	}
	if terr != nil {
		err := c.closedOr(terr)
		c.abort()
		return nil, err
	}
	c.local, c.remote = ipAddr(fromAddress(local.Addr)), ipAddr(addr)
	if err := n.add(&c.endpoint); err != nil {
		return nil, err
	}
	return c, nil
}

func ipAddr(a netip.Addr) net.Addr { return &net.IPAddr{IP: a.AsSlice()} }

// Read reads the next reply: an ICMP echo reply from its type byte on. What
// does not fit b is lost.
func (c *pingConn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	defer func() { c.sink = nil }()
	for {
		if err := c.check(&c.readBy); err != nil {
			return 0, c.fail("read", "recvfrom", err)
		}
		c.sink = b
		res, terr := c.ep.Read(&c.sink, tcpip.ReadOptions{})
		switch terr.(type) {
		case nil:
			return res.Count, nil
		case *tcpip.ErrBadBuffer: // b is empty and the reply is not
			return 0, nil
		case *tcpip.ErrWouldBlock:
		default:
			return 0, c.failStack("read", "recvfrom", terr)
		}
		if err := c.wait(c.readable, &c.readBy); err != nil {
			return 0, c.fail("read", "recvfrom", err)
		}
	}
}

// Write sends b, an ICMP echo request from its type byte on: type, code 0,
// checksum, identifier, sequence number, data. The stack fills in checksum and
// identifier. Anything else than an echo request of the family is EINVAL.
func (c *pingConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.check(&c.writeBy); err != nil {
		return 0, c.fail("write", "write", err)
	}
	if len(b) < echoHeader || b[0] != c.request || b[1] != 0 {
		return 0, c.fail("write", "write", syscall.EINVAL)
	}
	defer c.src.Reset(nil)
	for {
		c.src.Reset(b)
		_, terr := c.ep.Write(&c.src, tcpip.WriteOptions{})
		switch terr.(type) {
		case nil:
			return len(b), nil
		case *tcpip.ErrWouldBlock:
		default:
			return 0, c.failStack("write", "write", terr)
		}
		if err := c.wait(c.writable, &c.writeBy); err != nil {
			return 0, c.fail("write", "write", err)
		}
	}
}
