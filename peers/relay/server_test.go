// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

func TestNewErrors(t *testing.T) {
	testutil.LeakCheck(t)
	taken, err := New(&Options{Identity: identity(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addrs()[0].Port()
	for name, o := range map[string]Options{
		"no identity":          {},
		"too many sessions":    {Identity: identity(0), MaxSessions: maxSlots + 1},
		"negative sessions":    {Identity: identity(0), MaxSessions: -1},
		"negative per client":  {Identity: identity(0), MaxSessionsPerClient: -1},
		"negative rate":        {Identity: identity(0), MaxRate: -1},
		"negative sockets":     {Identity: identity(0), Sockets: -1},
		"no address":           {Identity: identity(0), Listen: []netip.AddrPort{{}}},
		"not ours":             {Identity: identity(0), Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("192.0.2.1:0")}},
		"port taken":           {Identity: identity(0), Port: port},
		"port of one is taken": {Identity: identity(0), Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.AddrPortFrom(netip.IPv6Unspecified(), port)}},
	} {
		s, err := New(&o)
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
		if name == "port taken" && !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListen(t *testing.T) {
	testutil.LeakCheck(t)
	s, err := New(&Options{Identity: identity(0), Sockets: 2, Listen: []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.2:0"), netip.MustParseAddrPort("[::1]:0"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := s.Addrs()
	if len(a) != 3 || a[0].Port() == 0 || a[1].Port() != a[0].Port() || a[2].Port() != a[0].Port() || !a[2].Addr().Is6() {
		t.Errorf("listens on %v", a)
	}
	if n := len(s.Stats().Sockets); n < 3 || n > 6 {
		t.Errorf("%d sockets, want 6, or 3 where ports are not shared", n)
	}
	for _, a := range a {
		if own := newOwnAddrs(s.ownAddrs()); !own.has(a) {
			t.Errorf("%v is not known as an own address", a)
		}
	}
}

func TestRunAndClose(t *testing.T) {
	testutil.LeakCheck(t)
	o := &Options{Identity: identity(0), Sockets: 1}
	for name, stop := range map[string]func(s *Server, cancel func()){
		"close":  func(s *Server, _ func()) { s.Close() },
		"cancel": func(_ *Server, cancel func()) { cancel() },
		"both":   func(s *Server, cancel func()) { cancel(); s.Close() },
		"many": func(s *Server, cancel func()) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() { s.Close() })
			}
			wg.Wait()
		},
	} {
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		stop(s, cancel)
		switch err := <-done; {
		case err == nil:
		case name != "cancel" && errors.Is(err, net.ErrClosed): // Run had not begun
		default:
			t.Errorf("%s: run: %v", name, err)
		}
		cancel()
		if err := s.Close(); err != nil {
			t.Errorf("%s: closed again: %v", name, err)
		}
		if err := s.Run(context.Background()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: run after close: %v", name, err)
		}
	}

	// Close waits for the workers: what it returns to may use the port.
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("run with a context that has ended: %v", err)
	}
	again, err := New(&Options{Identity: identity(0), Port: s.Addrs()[0].Port()})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestRunTwice(t *testing.T) {
	testutil.LeakCheck(t)
	s := start(t, Options{Sockets: 1}, identity(1).Public())
	dial(t, 1, "127.0.0.1", "127.0.0.1", s).register() // it runs
	if err := s.Run(context.Background()); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("run a second time: %v", err)
	}
}

func TestOpenCloseLeak(t *testing.T) {
	testutil.LeakCheck(t)
	o := &Options{Identity: identity(0), Sockets: 1, MaxSessions: 16, Socket: batching.Options{Sentinel: batching.Off}}
	for i := range 1000 {
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		if i%4 > 0 { // some are never run
			go func() { done <- s.Run(context.Background()) }()
		} else {
			done <- nil
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	}
}
