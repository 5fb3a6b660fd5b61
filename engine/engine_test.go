// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

func TestTraffic(t *testing.T) {
	a, b := pair(t)
	b.echo(":7")
	for _, to := range []netip.Addr{b.inner, b.inner6} {
		roundTrip(t, a.dial(netip.AddrPortFrom(to, 7).String()), "through the tunnel")
	}
	st, err := b.Status()
	if err != nil {
		t.Fatal(err)
	}
	p := st.Peers[0]
	if want := netip.AddrPortFrom(loopback, a.ListenPort()); p.Endpoint != want {
		t.Errorf("status shows the peer at %v, want %v, where it spoke from", p.Endpoint, want)
	}
	if p.LastHandshake.IsZero() || p.RxBytes == 0 || p.TxBytes == 0 {
		t.Errorf("status shows no handshake or no traffic: %+v", p)
	}
	if st.ListenPort != b.ListenPort() || st.PrivateKey != [32]byte(b.key) {
		t.Error("status shows another port or key than the router has")
	}
}

func TestNameOfEndpoint(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	a.knows(b)
	a.cfg.Peers[0].Endpoint.Host = "peer.example.org"
	e, err := engine.New(a.cfg, &engine.Options{
		Logger: testutil.Logger(t), NoControl: true, ListenOn: []netip.Addr{loopback},
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host != "peer.example.org" {
				return nil, errors.New("unknown host " + host)
			}
			return []netip.Addr{netip.MustParseAddr("2001:db8::1"), loopback}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	a.Engine = e
	b.echo(":7")
	roundTrip(t, a.dial(netip.AddrPortFrom(b.inner, 7).String()), "by name")
}

func TestRunEndsWithContext(t *testing.T) {
	testutil.LeakCheck(t)
	s := newSite(t, 1)
	s.start()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run: %v, want nil at a normal end", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close after Run: %v", err)
	}
}

func TestRunEndsWithClose(t *testing.T) {
	testutil.LeakCheck(t)
	s := newSite(t, 1)
	s.start()
	done := make(chan error)
	go func() { done <- s.Run(t.Context()) }()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestBusyPort(t *testing.T) {
	testutil.LeakCheck(t)
	busy, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := busy.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	s := newSite(t, 1)
	s.cfg.Interface.ListenPort = port
	_, err = engine.New(s.cfg, &engine.Options{NoControl: true, ListenOn: []netip.Addr{loopback}})
	if err == nil || !strings.Contains(err.Error(), "ListenPort") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("New on a busy port: %v", err)
	}
}

// A thousand routers come and go, each with a peer and traffic in its queues,
// and nothing of them stays.
func TestThousandUpDown(t *testing.T) {
	cycles := 1000
	if testing.Short() {
		cycles = 50
	}
	testutil.LeakCheck(t)
	other := newKey(t)
	cycle := func() {
		s := newSite(t, 1)
		s.cfg.Peers = []config.Peer{{
			PublicKey:  other.Public(),
			AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/32")},
			Endpoint:   config.Endpoint{Host: loopback.String(), Port: 9}, // discard
		}}
		e, err := engine.New(s.cfg, &engine.Options{NoControl: true, ListenOn: []netip.Addr{loopback}})
		if err != nil {
			t.Fatal(err)
		}
		if c, err := e.Net().DialContext(t.Context(), "udp", "10.9.0.2:9"); err == nil {
			c.Write([]byte("into the tunnel"))
			c.Close()
		} else {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		cycle() // pools fill
	}
	before := heap()
	for range cycles {
		cycle()
	}
	// Each cycle holds some megabytes while it lives. A leak of 1 % of one would
	// show many times over.
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("the heap grew by %d KiB over %d cycles", grown>>10, cycles)
	}
}

// heap returns the bytes of live objects.
func heap() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
