// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// anyPort is a BindAddress on loopback with a port that the system chooses.
func anyPort() config.Endpoint { return config.Endpoint{Host: "127.0.0.1"} }

// listening returns where the i-th service of a section listens.
func (s *site) listening(section string, i int) string {
	s.t.Helper()
	for _, svc := range s.Stats().Services {
		if svc.Section != section {
			continue
		}
		if i == 0 {
			return svc.Listen
		}
		i--
	}
	s.t.Fatalf("no such [%s] among %+v", section, s.Stats().Services)
	return ""
}

// offering returns two sites that know each other, of which b echoes on port 7; a is
// not started.
func offering(t *testing.T) (a, b *site) {
	a, b = newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	b.echo(":7")
	a.knows(b)
	return a, b
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// socks connects to address by a SOCKS5 proxy.
func socks(t *testing.T, proxyAddress, address string, auth *proxy.Auth) (net.Conn, error) {
	t.Helper()
	d, err := proxy.SOCKS5("tcp", proxyAddress, auth, proxy.Direct)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial("tcp", address)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func TestServices(t *testing.T) {
	a, b := offering(t)
	echo := netip.AddrPortFrom(b.inner, 7)
	a.cfg.Proxy = config.Proxy{
		SOCKS5:    []config.SOCKS5{{BindAddress: anyPort()}},
		TCPClient: []config.TCPForward{{BindAddress: anyPort(), Target: config.Endpoint{Host: b.inner.String(), Port: 7}}},
	}
	a.start()
	a.run()
	c, err := socks(t, a.listening("Socks5", 0), echo.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, "by socks")
	roundTrip(t, connect(t, a.listening("TCPClientTunnel", 0)), "by a forward")
	d, err := a.Status()
	if err != nil {
		t.Fatal(err)
	}
	infos := engine.ServicesOf(d)
	if len(infos) != 2 || infos[0].Section != "Socks5" || infos[0].Accepted != 1 || infos[0].Listen == "127.0.0.1:0" ||
		infos[1].Section != "TCPClientTunnel" || infos[1].Target != echo.String() {
		t.Errorf("the status has %+v", infos)
	}
}

// A reload leaves services alone that stay, opens and closes others, and gives the
// port of one that changed to what takes its place.
func TestReloadServices(t *testing.T) {
	a, b := offering(t)
	echo := netip.AddrPortFrom(b.inner, 7).String()
	forward := config.TCPForward{BindAddress: anyPort(), Target: config.Endpoint{Host: b.inner.String(), Port: 7}}
	a.cfg.Proxy.SOCKS5 = []config.SOCKS5{{BindAddress: anyPort()}}
	a.cfg.Proxy.TCPClient = []config.TCPForward{forward}
	a.start()
	a.run()
	old := a.listening("TCPClientTunnel", 0)
	cut := connect(t, old)
	roundTrip(t, cut, "before")
	stays, err := socks(t, a.listening("Socks5", 0), echo, nil)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, stays, "before")

	cfg := a.clone()
	cfg.Proxy.TCPClient = nil
	addr := netip.MustParseAddrPort(a.listening("Socks5", 0))
	fixed := config.SOCKS5{BindAddress: config.Endpoint{Host: "127.0.0.1", Port: freeTCPPort(t)}, Line: 9}
	cfg.Proxy.SOCKS5 = append([]config.SOCKS5{fixed}, cfg.Proxy.SOCKS5...)
	if err := a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, stays, "after")
	if _, err := io.ReadAll(cut); err == nil {
		t.Error("a connection of a section that is gone ended as if it were complete")
	}
	if c, err := net.Dial("tcp", old); err == nil {
		c.Close()
		t.Error("a section that is gone still listens")
	}
	if got := a.listening("Socks5", 0); got != addr.String() && a.listening("Socks5", 1) != addr.String() {
		t.Errorf("the section that stays moved from %v to %v", addr, got)
	}

	next := *cfg
	secret := fixed
	secret.Username, secret.Password = "me", "secret"
	next.Proxy.SOCKS5 = []config.SOCKS5{secret, cfg.Proxy.SOCKS5[1]}
	if err := a.Reload(&next); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, stays, "after another")
	if _, err := socks(t, fixed.BindAddress.String(), echo, nil); err == nil {
		t.Error("the port still takes clients without a password")
	}
	c, err := socks(t, fixed.BindAddress.String(), echo, &proxy.Auth{User: "me", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, "with password")
}

func freeTCPPort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

// A listener that cannot bind stops the start, and a reload of it leaves the others.
func TestServicePortInUse(t *testing.T) {
	testutil.LeakCheck(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := netip.MustParseAddrPort(taken.Addr().String()).Port()
	a := newSite(t, 1)
	a.cfg.Proxy.SOCKS5 = []config.SOCKS5{{BindAddress: anyPort()}}
	busy := a.clone()
	busy.Proxy.HTTP = []config.HTTP{{BindAddress: config.Endpoint{Host: "127.0.0.1", Port: port}, Line: 12}}
	check := func(err error) {
		t.Helper()
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "[http] of line 12") || !strings.Contains(err.Error(), "another port") {
			t.Errorf("error is %v, want one that names the section and that the port is in use", err)
		}
	}
	_, err = engine.New(busy, &engine.Options{NoControl: true, ListenOn: []netip.Addr{loopback}})
	check(err)
	a.start()
	a.run()
	check(a.Reload(busy))
	connect(t, a.listening("Socks5", 0))
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// The router ends when what standard input and output are connected to has ended.
func TestSTDIOEndsTheRouter(t *testing.T) {
	a, b := offering(t)
	a.cfg.Proxy.STDIO = &config.STDIO{Target: config.Endpoint{Host: b.inner.String(), Port: 7}}
	in, toIn := io.Pipe()
	fromOut, out := io.Pipe()
	e, err := engine.New(a.cfg, &engine.Options{NoControl: true, ListenOn: []netip.Addr{loopback}, Stdin: in, Stdout: out})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Run(context.Background()) }()
	go func() {
		io.WriteString(toIn, "through")
		toIn.Close()
	}()
	got := make([]byte, len("through"))
	if _, err := io.ReadFull(fromOut, got); err != nil || string(got) != "through" {
		t.Errorf("read %q, %v", got, err)
	}
	go io.Copy(io.Discard, fromOut)
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the router does not end")
	}
	if _, err := engine.New(a.cfg, &engine.Options{NoControl: true, ListenOn: []netip.Addr{loopback}}); err == nil {
		t.Error("started without standard input and output")
	}
}
