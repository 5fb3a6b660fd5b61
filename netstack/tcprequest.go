// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// handshakeTimeout ends [TCPRequest.Accept] when the client does not finish
// the handshake. The answer to its request is sent again after 1, 3 and 7 s;
// left alone the stack would go on for 1+2+…+64 = 127 s (gVisor
// transport/tcp/connect.go, backoffTimer, 2026-09).
const handshakeTimeout = 10 * time.Second

// TCPRequest is a client's request to connect: to a port of the host, see
// [Net.OpenTCPPort], or to an address that the device does not have, see
// [Transit]. Its handler gives one answer: the first call of Accept, Refuse or
// Ignore. A handler that returns without any has ignored it.
//
// The client waits meanwhile, so a handler can first find out whether the
// destination answers. Clients ask again after 1, 3, 7… s; those copies do not
// become requests of their own.
type TCPRequest struct {
	Source, Destination netip.AddrPort

	// Immutable.
	device     *Device
	handshakes *handshakes
	handler    func(*TCPRequest)
	port       *TCPPort // held until handler has returned; nil in transit

	answered atomic.Bool
	ended    atomic.Bool // by the end of the port or device

	// Guarded by handshakes.mu.
	inner *tcp.ForwarderRequest // nil until the handler's goroutine runs
	wq    *waiter.Queue         // not nil: Accept waits with it
}

// Accept finishes the handshake and returns the connection, which is like those
// of Listen. It waits for the client, 10 s at most, and fails with ETIMEDOUT
// then, with ECONNRESET if the client gave up, and with net.ErrClosed if the
// request was answered before or the port or device is closed.
func (r *TCPRequest) Accept() (net.Conn, error) {
	if !r.answer() {
		return nil, r.fail(net.ErrClosed)
	}
	c, err := r.accept()
	if err != nil {
		r.handshakes.failed.Add(1)
	} else {
		r.handshakes.accepted.Add(1)
	}
	r.finish(false)
	if err != nil {
		return nil, r.fail(err)
	}
	return c, nil
}

func (r *TCPRequest) accept() (*tcpConn, error) {
	n := r.device.net
	if err := n.check(); err != nil {
		return nil, err
	}
	wq := new(waiter.Queue)
	h := r.handshakes
	h.waits(r, wq)
	endTimeWait(h.stack, r.inner.ID())
	// The stack takes any event for the end of the handshake, and gives it up
	// if it is not (gVisor transport/tcp/accept.go, performHandshake, 2026-09).
	var late atomic.Bool
	timer := time.AfterFunc(h.timeout, func() {
		late.Store(true)
		wq.Notify(waiter.WritableEvents)
	})
	ep, terr := r.inner.CreateEndpoint(wq)
	timer.Stop()
	if terr != nil {
		_, gone := terr.(*tcpip.ErrConnectionRefused) // what the stack calls a reset by now
		switch {
		case n.check() != nil, r.ended.Load():
			return nil, net.ErrClosed
		case late.Load():
			return nil, syscall.ETIMEDOUT
		case gone:
			return nil, syscall.ECONNRESET
		}
		return nil, stackError(terr)
	}
	c := newTCPConn(n, "tcp", ep, wq)
	if err := c.established(); err != nil {
		c.abort() // gone again
		return nil, err
	}
	if err := n.add(&c.endpoint); err != nil {
		return nil, err
	}
	return c, nil
}

// Refuse answers with a reset: nobody listens there.
func (r *TCPRequest) Refuse() {
	if r.answer() {
		r.handshakes.refused.Add(1)
		r.finish(true)
	}
}

// Ignore sends nothing. The client asks again, which is a new request.
func (r *TCPRequest) Ignore() {
	if r.answer() {
		r.handshakes.ignored.Add(1)
		r.finish(false)
	}
}

// answer reports whether the caller is the first to answer, and now has to.
func (r *TCPRequest) answer() bool { return r.answered.CompareAndSwap(false, true) }

// finish gives the request back, with a reset to the client or without.
func (r *TCPRequest) finish(reset bool) {
	id := r.inner.ID()
	r.inner.Complete(reset)
	// In this order: the stack's forwarder must have forgotten the request
	// before the next one with the same addresses is let through to it.
	r.handshakes.remove(id)
}

// release gives the port back when the request is over.
func (r *TCPRequest) release() {
	if r.port != nil {
		r.port.running.Done()
	}
}

func (r *TCPRequest) fail(err error) error {
	return opError("accept", "accept", "tcp", net.TCPAddrFromAddrPort(r.Destination), net.TCPAddrFromAddrPort(r.Source), err)
}
