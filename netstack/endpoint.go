// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"net"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// endpoint is what connections and listeners have in common: an endpoint of
// the stack, which never blocks, and what it takes to wait for it.
//
// Reads are one at a time and so are writes, as on the system's sockets. The
// channels readable and writable hold at most one token: "look again".
type endpoint struct {
	net     *Net
	ep      tcpip.Endpoint
	wq      *waiter.Queue
	network string // of the call that made it
	local   net.Addr
	remote  net.Addr // nil: not connected

	readEntry, writeEntry waiter.Entry
	readable, writable    chan struct{}
	readBy, writeBy       deadline
	reading, writing      sync.Mutex // held by a read, a write; they may wait

	closed    chan struct{}
	closeOnce sync.Once
}

// init makes e wait for ep. It must be followed by release.
func (e *endpoint) init(n *Net, network string, ep tcpip.Endpoint, wq *waiter.Queue) {
	e.net, e.network, e.ep, e.wq = n, network, ep, wq
	e.closed = make(chan struct{})
	const ends = waiter.EventErr | waiter.EventHUp // errors of UDP come alone
	e.readEntry, e.readable = waiter.NewChannelEntry(waiter.ReadableEvents | ends)
	e.writeEntry, e.writable = waiter.NewChannelEntry(waiter.WritableEvents | ends)
	wq.EventRegister(&e.readEntry)
	wq.EventRegister(&e.writeEntry)
}

// release ends all waits with net.ErrClosed, gives the endpoint back with end
// and forgets it. Only the first call does anything; it reports whether it was.
func (e *endpoint) release(end func()) bool {
	first := false
	e.closeOnce.Do(func() {
		first = true
		e.net.remove(e)
		close(e.closed)
		end()
		e.readBy.stop()
		e.writeBy.stop()
		e.wq.EventUnregister(&e.readEntry)
		e.wq.EventUnregister(&e.writeEntry)
	})
	return first
}

// abort closes the endpoint at once.
func (e *endpoint) abort() { e.release(e.ep.Abort) }

// Close closes the connection or listener and ends its pending calls with
// net.ErrClosed. What a TCP connection still has to send is sent; if it has
// received what was not read, its peer gets a reset.
func (e *endpoint) Close() error {
	if !e.release(e.ep.Close) {
		return e.fail("close", "close", net.ErrClosed)
	}
	return nil
}

// LocalAddr returns the local address. It does not change.
func (e *endpoint) LocalAddr() net.Addr { return e.local }

// RemoteAddr returns the address of the peer, nil if there is none.
func (e *endpoint) RemoteAddr() net.Addr { return e.remote }

// SetDeadline sets both deadlines.
func (e *endpoint) SetDeadline(t time.Time) error {
	if err := e.SetReadDeadline(t); err != nil {
		return err
	}
	return e.SetWriteDeadline(t)
}

// SetReadDeadline sets when pending and future reads end with
// os.ErrDeadlineExceeded; the zero time means never.
func (e *endpoint) SetReadDeadline(t time.Time) error { return e.setDeadline(&e.readBy, t) }

// SetWriteDeadline is SetReadDeadline for writes.
func (e *endpoint) SetWriteDeadline(t time.Time) error { return e.setDeadline(&e.writeBy, t) }

func (e *endpoint) setDeadline(d *deadline, t time.Time) error {
	if e.isClosed() {
		return e.fail("set", "set", net.ErrClosed)
	}
	d.set(t)
	return nil
}

// isClosed reports whether e or its device is closed.
func (e *endpoint) isClosed() bool {
	select {
	case <-e.closed:
		return true
	case <-e.net.done:
		return true
	default:
		return false
	}
}

// check returns the error with which an operation must not even start.
func (e *endpoint) check(d *deadline) error {
	if e.isClosed() {
		return net.ErrClosed
	}
	if d.over() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// wait waits for a token, the deadline or the end of e.
func (e *endpoint) wait(ready <-chan struct{}, d *deadline) error {
	select {
	case <-ready:
		return nil
	case <-e.closed:
		return net.ErrClosed
	case <-e.net.done:
		return net.ErrClosed
	case <-d.passed():
		return os.ErrDeadlineExceeded
	}
}

// fail wraps the error of an operation.
func (e *endpoint) fail(op, call string, err error) error {
	return opError(op, call, e.network, e.local, e.remote, err)
}

// failStack does so for an error of the stack.
func (e *endpoint) failStack(op, call string, terr tcpip.Error) error {
	return e.fail(op, call, e.closedOr(terr))
}

// closedOr returns an error of the stack, or net.ErrClosed if it may only be the
// echo of a concurrent Close.
func (e *endpoint) closedOr(terr tcpip.Error) error {
	if e.isClosed() {
		return net.ErrClosed
	}
	return stackError(terr)
}
