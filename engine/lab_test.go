// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
)

// patience bounds waits for what must happen.
const patience = 30 * time.Second

var loopback = netip.MustParseAddr("127.0.0.1")

// A site is a router in netstack mode on loopback, and what others need to know
// of it.
type site struct {
	t      testing.TB
	key    config.Key
	inner  netip.Addr
	inner6 netip.Addr
	cfg    *config.Config
	*engine.Engine
}

func newKey(t testing.TB) config.Key {
	t.Helper()
	k, err := config.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newSite makes the configuration of site i; start starts it.
func newSite(t testing.TB, i byte) *site {
	s := &site{t: t, key: newKey(t), inner: netip.AddrFrom4([4]byte{10, 9, 0, i})}
	s.inner6 = netip.AddrFrom16([16]byte{0: 0xfd, 15: i})
	s.cfg = &config.Config{
		Name: "test" + string('0'+rune(i)),
		Interface: config.Interface{
			PrivateKey: s.key,
			Addresses:  []netip.Prefix{netip.PrefixFrom(s.inner, 24), netip.PrefixFrom(s.inner6, 64)},
		},
		Router: config.Router{Mode: config.ModeNetstack},
	}
	return s
}

// knows makes o a peer of s; with an endpoint if o runs already.
func (s *site) knows(o *site) {
	p := config.Peer{
		PublicKey:  o.key.Public(),
		AllowedIPs: []netip.Prefix{netip.PrefixFrom(o.inner, 32), netip.PrefixFrom(o.inner6, 128)},
	}
	if o.Engine != nil {
		p.Endpoint = config.Endpoint{Host: loopback.String(), Port: o.ListenPort()}
	}
	s.cfg.Peers = append(s.cfg.Peers, p)
}

func (s *site) start() {
	s.t.Helper()
	e, err := engine.New(s.cfg, &engine.Options{

		NoControl: true,
		ListenOn:  []netip.Addr{loopback},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Engine = e
	s.t.Cleanup(func() { e.Close() })
}

// run calls Run until the test ends.
func (s *site) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
}

// pair returns two running sites; only the first knows where the other is.
func pair(t testing.TB) (a, b *site) {
	a, b = newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	a.knows(b)
	a.start()
	return a, b
}

// echo listens on s and sends back what it gets; it ends with the test.
func (s *site) echo(addr string) {
	s.t.Helper()
	l, err := s.Net().Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
}

func (s *site) dial(addr string) net.Conn {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := s.Net().DialContext(ctx, "tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// roundTrip sends text over c and wants it back.
func roundTrip(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Fatalf("got %q back, want %q", got, text)
	}
}
