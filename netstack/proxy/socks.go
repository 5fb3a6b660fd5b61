// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

const (
	// handshakeTimeout is how long a client has to say what it wants.
	handshakeTimeout = 10 * time.Second
	// replyTimeout is how long a client has to take the answer.
	replyTimeout = 10 * time.Second
)

// SOCKS5Options configure a [SOCKS5] service.
type SOCKS5Options struct {
	// Listen is the host:port to listen on. An empty host means all
	// addresses, which offers the tunnel to the whole network.
	Listen string

	// Username and Password that clients have to give, each at most 255
	// bytes. Both empty: none is asked for.
	Username, Password string

	// DisableUDP refuses UDP ASSOCIATE.
	DisableUDP bool

	// Limits of connections.
	Limits Limits

	// Logger for changes of state. nil discards.
	Logger *slog.Logger
}

// SOCKS5 is a SOCKS 5 server (RFC 1928) whose CONNECT and UDP ASSOCIATE lead
// into the tunnel. Names are resolved there too. BIND is refused.
type SOCKS5 struct {
	service

	// Immutable.
	net          *netstack.Net
	dialer       dialer
	login        *login // nil: none
	disableUDP   bool
	handshakeFor time.Duration

	udp socksUDP
}

// ListenSOCKS5 listens for SOCKS clients of the network in n.
func ListenSOCKS5(n *netstack.Net, o *SOCKS5Options) (*SOCKS5, error) {
	login, err := newLogin(o.Username, o.Password)
	if err != nil {
		return nil, err
	}
	l, err := listenHost(o.Listen)
	if err != nil {
		return nil, err
	}
	s := &SOCKS5{net: n, login: login, disableUDP: o.DisableUDP, handshakeFor: handshakeTimeout}
	s.init("socks5", l, o.Limits, o.Logger)
	s.dialer = dialer{n.DialContext, connectTimeout, &s.count}
	return s, nil
}

// Run serves clients until ctx ends or Close is called. It returns an error
// when it was called before.
func (s *SOCKS5) Run(ctx context.Context) error {
	return s.run(ctx, func(ctx context.Context) error { return s.acceptLoop(ctx, s.serve) })
}

// serve serves one client.
func (s *SOCKS5) serve(ctx context.Context, c net.Conn) {
	c.SetDeadline(time.Now().Add(s.handshakeFor))
	r := bufio.NewReaderSize(c, socksMessageSize)
	if !s.greet(ctx, c, r) {
		return
	}
	q, err := readSocksRequest(r)
	if err != nil {
		s.failed(err)
		switch {
		case errors.Is(err, errSocksAddress):
			s.refuse(c, socksNoAddressType)
		case errors.Is(err, errSocksVersion), errors.Is(err, errSocksName):
			s.refuse(c, socksFailure)
		}
		return
	}
	c.SetDeadline(time.Time{})
	switch {
	case q.command == socksConnect:
		early, _ := r.Peek(r.Buffered())
		s.connect(ctx, c, q.target, slices.Clone(early))
	case q.command == socksAssociate && !s.disableUDP:
		s.associate(ctx, c, hostOf(c.RemoteAddr()), q.target.port)
	default:
		s.count.badRequests.Add(1)
		s.refuse(c, socksNoCommand)
	}
}

// connect serves CONNECT; early is what the client has sent behind it.
func (s *SOCKS5) connect(ctx context.Context, c net.Conn, target socksTarget, early []byte) {
	tun, err := s.dialer.connect(ctx, target.String())
	if err != nil {
		s.refuse(c, socksCode(dialFailureOf(err)))
		return
	}
	if err := s.reply(c, socksSucceeded, addrPortOf(tun.LocalAddr())); err != nil {
		reset(tun)
		return
	}
	s.relay(c, tun, early)
}

// socksCode returns the reply for a failure to reach the target. Timeouts are
// 0x06, as Tor and microsocks have them, to tell them from unreachable hosts.
func socksCode(f dialFailure) byte {
	switch f {
	case dialRefused:
		return socksRefused
	case dialTimeout:
		return socksTTLExpired
	case dialUnreachableHost, dialNotFound:
		return socksHostUnreachable
	case dialUnreachableNet:
		return socksNetworkUnreachable
	default:
		return socksFailure
	}
}

// reply answers a request. An invalid bound is sent as 0.0.0.0:0.
func (s *SOCKS5) reply(c net.Conn, code byte, bound netip.AddrPort) error {
	if !bound.IsValid() {
		bound = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	b := append(make([]byte, 0, 3+1+16+2), socksVersion, code, 0)
	b = socksTarget{addr: bound.Addr().Unmap(), port: bound.Port()}.appendTo(b)
	c.SetWriteDeadline(time.Now().Add(replyTimeout))
	_, err := c.Write(b)
	c.SetWriteDeadline(time.Time{})
	return err
}

// refuse answers a request with an error, the last thing the client hears.
func (s *SOCKS5) refuse(c net.Conn, code byte) {
	if s.reply(c, code, netip.AddrPort{}) == nil {
		farewell(c)
	}
}

// failed counts why a client was not understood.
func (s *SOCKS5) failed(err error) {
	var ne net.Error
	switch {
	case s.isStopped():
	case errors.As(err, &ne) && ne.Timeout():
		s.count.timeouts.Add(1)
	default:
		s.count.badRequests.Add(1)
	}
}

const (
	// farewellTimeout and farewellBytes bound what is still taken from a
	// client that was refused.
	farewellTimeout = time.Second
	farewellBytes   = 256 << 10
)

// farewell ends a connection whose last answer was written. Closing it with
// something unread would reset it, and the client might lose the answer, so
// what the client is still sending is read first, for a moment.
func farewell(c net.Conn) {
	if closeWrite(c) != nil {
		return
	}
	c.SetReadDeadline(time.Now().Add(farewellTimeout))
	io.CopyN(writerOnly{io.Discard}, c, farewellBytes) // it ends either way
}

// addrPortOf returns a as netip has it, invalid if it is no such address.
func addrPortOf(a net.Addr) netip.AddrPort {
	if a, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
