// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/tunrouter/tunrouter/netstack"
)

// TCPForwardOptions configure a [TCPForward].
type TCPForwardOptions struct {
	// Listen is the host:port to listen on: of the host's network in the
	// client direction, an address of the device or nothing and a port in the
	// server direction.
	Listen string

	// Target is the host:port to connect to: in the tunnel in the client
	// direction, in the host's network in the server direction, where the
	// system resolves names.
	Target string

	// Limits of connections. In the server direction the clients are the
	// hosts in the tunnel.
	Limits Limits

	// Logger for changes of state. nil discards.
	Logger *slog.Logger
}

// TCPForward connects each client of a port to one target on the other side of
// the tunnel. A client whose target does not answer is reset: in the client
// direction after it has connected, in the server direction instead, because
// clients in the tunnel are answered once the target has.
type TCPForward struct {
	service

	// Immutable.
	target string
	dialer dialer
	port   *netstack.TCPPort // the server direction; nil: the client direction

	started chan struct{}   // closed by Run in the server direction
	ctx     context.Context // of Run, once started
}

// ListenTCPClient forwards a port of the host to a target in the tunnel.
func ListenTCPClient(n *netstack.Net, o *TCPForwardOptions) (*TCPForward, error) {
	if err := checkTarget(o.Target); err != nil {
		return nil, err
	}
	l, err := listenHost(o.Listen)
	if err != nil {
		return nil, err
	}
	f := &TCPForward{target: o.Target}
	f.init("tcp client", l, o.Limits, o.Logger)
	f.dialer = dialer{n.DialContext, connectTimeout, &f.count}
	return f, nil
}

// ListenTCPServer forwards a port in the tunnel to a target in the host's
// network. Clients that come before Run wait for it.
func ListenTCPServer(n *netstack.Net, o *TCPForwardOptions) (*TCPForward, error) {
	if err := checkTarget(o.Target); err != nil {
		return nil, err
	}
	local, err := parseLocal(o.Listen)
	if err != nil {
		return nil, err
	}
	f := &TCPForward{target: o.Target, started: make(chan struct{})}
	f.init("tcp server", nil, o.Limits, o.Logger)
	f.dialer = dialer{dialHost, connectTimeout, &f.count}
	if f.port, err = n.OpenTCPPort(local, f.take); err != nil {
		return nil, err
	}
	f.listener = portListener{f.port}
	f.log = f.log.With("listen", f.port.LocalAddr())
	return f, nil
}

// portListener is a listener for service that accepts nothing: the requests go
// to a handler.
type portListener struct{ *netstack.TCPPort }

func (l portListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.LocalAddr()) }

func (l portListener) Accept() (net.Conn, error) {
	<-l.Done()
	return nil, net.ErrClosed
}

// checkTarget returns an error if a target cannot be host:port.
func checkTarget(target string) error {
	host, port, err := net.SplitHostPort(target)
	if err == nil && (host == "" || port == "") {
		err = &net.AddrError{Err: "missing host or port", Addr: target}
	}
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	return nil
}

// Run serves clients until ctx ends or Close is called. It returns an error
// when it was called before or the device is closed.
func (f *TCPForward) Run(ctx context.Context) error {
	return f.run(ctx, func(ctx context.Context) error {
		if f.port == nil {
			return f.acceptLoop(ctx, f.serve)
		}
		return f.serveRequests(ctx)
	})
}

// serve connects a client of the host's network, whose connection is accepted
// already.
func (f *TCPForward) serve(ctx context.Context, c net.Conn) {
	target, err := f.dialer.connect(ctx, f.target)
	if err != nil {
		reset(c)
		return
	}
	f.relay(c, target, nil)
}

// serveRequests lets take work until the port is closed. It returns when no
// call of take is left.
func (f *TCPForward) serveRequests(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.ctx = ctx
	close(f.started)
	_, err := f.accept()
	cancel()
	_ = f.port.Close() // again, if it was not the device; waits
	if f.isStopped() {
		return nil
	}
	return err
}

// take connects to the target, then a client in the tunnel that asks for it.
func (f *TCPForward) take(q *netstack.TCPRequest) {
	select {
	case <-f.started:
	case <-f.done:
		return
	}
	client := q.Source.Addr()
	if !f.limits.acquire(client) {
		q.Refuse()
		return
	}
	f.count.accepted.Add(1)
	f.count.active.Add(1)
	done := func() {
		f.count.active.Add(-1)
		f.limits.release(client)
	}
	target, tun := f.connect(q)
	if tun == nil {
		done()
		return
	}
	f.wg.Go(func() { // closing the port waits for take
		defer done()
		if !f.track(tun) { // the service ends: not what a relay would end with
			reset(target)
			return
		}
		f.relay(target, tun, nil)
	})
}

// connect returns both connections, or has answered q and returns nil.
func (f *TCPForward) connect(q *netstack.TCPRequest) (target, tun net.Conn) {
	target, err := f.dialer.connect(f.ctx, f.target)
	if err != nil {
		if f.ctx.Err() == nil {
			q.Refuse()
		}
		return nil, nil
	}
	tun, err = q.Accept()
	if err != nil { // the client has given up
		reset(target)
		f.count.resets.Add(1)
		return nil, nil
	}
	return target, tun
}
