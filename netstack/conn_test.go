// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// connect returns both ends of a TCP connection from a to addr of b.
func connect(tb testing.TB, a, b *netstack.Net, addr netip.Addr) (dialed, accepted net.Conn) {
	tb.Helper()
	l, err := b.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	type result struct {
		c   net.Conn
		err error
	}
	got := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		got <- result{c, err}
	}()
	dialed, err = a.DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	r := <-got
	if r.err != nil {
		tb.Fatal(r.err)
	}
	return dialed, r.c
}

func TestConn(t *testing.T) {
	testutil.LeakCheck(t)
	for name, addr := range map[string]netip.Addr{"tcp4": netstacktest.B4, "tcp6": netstacktest.B6} {
		t.Run(name, func(t *testing.T) {
			a, b := netstacktest.Pair(t, nil, nil)
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				c, d := connect(t, a.Net(), b.Net(), addr)
				return c, d, func() { c.Close(); d.Close() }, nil
			})
		})
	}
}
