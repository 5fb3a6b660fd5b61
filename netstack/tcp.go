// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

var _ net.Conn = (*tcpConn)(nil)

// tcpConn is a TCP connection.
type tcpConn struct {
	endpoint
	sink tcpip.SliceWriter // guarded by reading: here, so that Read allocates nothing
	src  bytes.Reader      // guarded by writing, likewise

	broken atomic.Pointer[error] // why the connection broke, once somebody was told
}

// newTCPConn makes a connection of ep, which may still be connecting.
func newTCPConn(n *Net, network string, ep tcpip.Endpoint, wq *waiter.Queue) *tcpConn {
	c := &tcpConn{}
	c.init(n, network, ep, wq)
	setKeepAlive(ep, n.keepAlive)
	return c
}

// established fills in the addresses once ep is connected.
func (c *tcpConn) established() error {
	local, terr := c.ep.GetLocalAddress()
	if terr != nil {
		return stackError(terr)
	}
	remote, terr := c.ep.GetRemoteAddress()
	if terr != nil {
		return stackError(terr)
	}
	c.local = tcpAddr(local)
	c.remote = tcpAddr(remote)
	return nil
}

func tcpAddr(f tcpip.FullAddress) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(fromAddress(f.Addr), f.Port))
}

// Read reads what has arrived, at least one byte, waiting if nothing has. It
// returns io.EOF after the peer has closed its side.
func (c *tcpConn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.check(&c.readBy); err != nil {
		return 0, c.fail("read", "read", err)
	}
	if len(b) == 0 {
		return 0, nil
	}
	defer func() { c.sink = nil }()
	for {
		c.sink = b
		res, terr := c.ep.Read(&c.sink, tcpip.ReadOptions{})
		switch terr.(type) {
		case nil:
			c.ep.ModerateRecvBuf(res.Count)
			return res.Count, nil
		case *tcpip.ErrWouldBlock:
		default:
			err := c.ended(terr)
			if err == io.EOF { //nolint:errorlint // as readers return it
				return 0, err
			}
			return 0, c.fail("read", "read", err)
		}
		if err := c.wait(c.readable, &c.readBy); err != nil {
			return 0, c.fail("read", "read", err)
		}
	}
}

// Write writes all of b to the send buffer, waiting for room. On an error it
// returns how much was written.
func (c *tcpConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.check(&c.writeBy); err != nil {
		return 0, c.fail("write", "write", err)
	}
	defer c.src.Reset(nil)
	n := 0
	for n < len(b) {
		c.src.Reset(b[n:])
		m, terr := c.ep.Write(&c.src, tcpip.WriteOptions{})
		n += int(m)
		switch terr.(type) {
		case nil:
			continue
		case *tcpip.ErrWouldBlock:
		default:
			return n, c.fail("write", "write", c.ended(terr))
		}
		if err := c.wait(c.writable, &c.writeBy); err != nil {
			return n, c.fail("write", "write", err)
		}
	}
	return n, nil
}

// ended returns why a read or write that the stack ended with terr has ended.
//
// The stack says only once why a connection broke, to whoever asks first; a
// reader would take what it is told afterwards for the end of what was sent
// (gVisor transport/tcp/endpoint.go, hardErrorLocked, 2026-09).
func (c *tcpConn) ended(terr tcpip.Error) error {
	err := stackError(terr)
	eof := false
	switch terr.(type) {
	case *tcpip.ErrClosedForReceive:
		eof = true
	case *tcpip.ErrClosedForSend:
	default:
		c.broken.CompareAndSwap(nil, &err)
	}
	switch {
	case c.isClosed():
		return net.ErrClosed
	case tcp.EndpointState(c.ep.State()) == tcp.StateError:
		if p := c.broken.Load(); p != nil {
			return *p
		}
		return syscall.ECONNRESET // the other call is about to say so
	case eof:
		return io.EOF
	}
	return err
}

// CloseRead ends reading: Read returns io.EOF once what has arrived is read.
func (c *tcpConn) CloseRead() error { return c.shutdown(tcpip.ShutdownRead) }

// CloseWrite ends writing: after what is in the send buffer, the peer reads
// io.EOF. Reading goes on.
func (c *tcpConn) CloseWrite() error { return c.shutdown(tcpip.ShutdownWrite) }

func (c *tcpConn) shutdown(how tcpip.ShutdownFlags) error {
	if c.isClosed() {
		return c.fail("close", "shutdown", net.ErrClosed)
	}
	if terr := c.ep.Shutdown(how); terr != nil {
		return c.failStack("close", "shutdown", terr)
	}
	return nil
}

// SetLinger with 0 makes Close drop what is not sent yet and reset the
// connection; a negative sec restores the default. Other values are the
// default too: Close never waits.
func (c *tcpConn) SetLinger(sec int) error {
	if c.isClosed() {
		return c.fail("set", "setsockopt", net.ErrClosed)
	}
	c.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: sec == 0})
	return nil
}
