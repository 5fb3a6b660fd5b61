// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// inHub is what the spokes of a hub route to it.
var inHub = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("fd00::/64")}

// star returns a running hub with the given way of forwarding, and n running spokes
// that know nobody else.
func star(t testing.TB, f config.Forwarding, n int, change func(hub *site, spokes []*site)) (hub *site, spokes []*site) {
	t.Helper()
	hub = newSite(t, 1)
	hub.cfg.Router.PeerForwarding = f
	for i := range n {
		s := newSite(t, byte(i+2))
		hub.knows(s)
		spokes = append(spokes, s)
	}
	if change != nil {
		change(hub, spokes)
	}
	hub.start()
	for _, s := range spokes {
		s.knows(hub)
		s.cfg.Peers[0].AllowedIPs = inHub
		// The hub has to know where the spoke is before another can reach it.
		s.cfg.Peers[0].PersistentKeepalive = 25
		s.start()
	}
	for _, s := range spokes {
		testutil.Eventually(t, patience, "the spoke has a session", func() error {
			if hub.peerStatus(s.key.Public()).LastHandshake.IsZero() {
				return fmt.Errorf("no handshake with %v", s.inner)
			}
			return nil
		})
	}
	return hub, spokes
}

// reaches reports whether s gets an answer of the echo at addr within a moment.
func (s *site) reaches(addr netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	c, err := s.Net().DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return false
	}
	defer c.Close()
	roundTrip(s.t, c, "reached")
	return true
}

func (s *site) pings(to netip.Addr) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	_, err := s.Net().Ping(ctx, to)
	return err
}

// A process without any privilege is a hub: its own network stack forwards nothing.
func TestHubWithoutRoot(t *testing.T) {
	testutil.LeakCheck(t)
	hub, spokes := star(t, config.ForwardingOn, 3, nil)
	for _, s := range append(spokes, hub) {
		s.echo(":7")
	}
	for _, from := range spokes {
		for _, to := range append(spokes, hub) {
			if from == to {
				continue
			}
			for _, addr := range []netip.Addr{to.inner, to.inner6} {
				if err := from.pings(addr); err != nil {
					t.Errorf("%v does not reach %v: %v", from.inner, addr, err)
				}
			}
		}
	}
	data := make([]byte, 8<<20)
	rand.Read(data)
	c := spokes[0].dial(netip.AddrPortFrom(spokes[1].inner, 7).String())
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		sent <- err
	}()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil || !bytes.Equal(got, data) {
		t.Errorf("what came back is not what was sent: %v", err)
	}
	if s := hub.Stats(); s.Hub.Cut.Bytes < uint64(2*len(data)) || s.Hub.Held != 0 {
		t.Errorf("%d bytes passed between peers, %d are held", s.Hub.Cut.Bytes, s.Hub.Held)
	}
}

func TestIsolation(t *testing.T) {
	hub, spokes := star(t, config.ForwardingIsolated, 2, nil)
	a, b := spokes[0], spokes[1]
	hub.echo(":7")
	b.echo(":7")
	for _, s := range spokes {
		if !s.reaches(netip.AddrPortFrom(hub.inner, 7)) {
			t.Errorf("%v does not reach the hub", s.inner)
		}
	}
	if a.reaches(netip.AddrPortFrom(b.inner, 7)) {
		t.Error("a peer reaches another")
	}
	if got := hub.Stats().Hub.Dropped.Isolated; got == 0 {
		t.Error("nothing was counted")
	}
	cfg := hub.clone()
	cfg.Router.PeerForwarding = config.ForwardingOn
	if err := hub.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if !a.reaches(netip.AddrPortFrom(b.inner, 7)) {
		t.Error("after the reload a peer does not reach another")
	}
}

// parse returns the filter that a file with these lines has.
func parseFilter(t testing.TB, spokes []*site, lines ...string) config.Filter {
	t.Helper()
	var file strings.Builder
	fmt.Fprintf(&file, "[Interface]\nPrivateKey = %v\n", newKey(t))
	names := []string{"alice", "bob", "carol"}
	for _, s := range spokes {
		fmt.Fprintf(&file, "[Peer]\nPublicKey = %v\n", s.key.Public())
	}
	file.WriteString("[Filter]\n")
	for i, s := range spokes {
		fmt.Fprintf(&file, "Peers = %s %v\n", names[i], s.key.Public())
	}
	file.WriteString(strings.Join(lines, "\n") + "\n")
	cfg, err := config.Parse(strings.NewReader(file.String()), "test.conf")
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Filter
}

func TestFilter(t *testing.T) {
	hub, spokes := star(t, config.ForwardingOn, 2, func(hub *site, spokes []*site) {
		hub.cfg.Filter = parseFilter(t, spokes,
			"Allow = from alice to bob proto tcp port 7",
			"Allow = to host proto icmp",
			"Deny = from peers to host",
			"Allow = from host")
	})
	a, b := spokes[0], spokes[1]
	for _, s := range []*site{hub, a, b} {
		s.echo(":7")
		s.echo(":8")
	}
	for _, test := range []struct {
		from, to *site
		port     uint16
		want     bool
	}{
		{a, b, 7, true}, {a, b, 8, false}, {b, a, 7, false},
		{a, hub, 7, false}, {hub, a, 7, true}, {hub, b, 8, true},
	} {
		if got := test.from.reaches(netip.AddrPortFrom(test.to.inner, test.port)); got != test.want {
			t.Errorf("%v reaches port %d of %v: %t, want %t", test.from.inner, test.port, test.to.inner, got, test.want)
		}
	}
	if err := b.pings(hub.inner); err != nil {
		t.Errorf("ping: %v", err)
	}
	s := hub.Stats()
	if len(s.Filter.Rules) != 4 || s.Filter.Flows == 0 || s.Hub.Dropped.Filtered == 0 {
		t.Errorf("%+v, filtered %d", s.Filter, s.Hub.Dropped.Filtered)
	}
	for i, r := range s.Filter.Rules {
		if r.Packets == 0 || r.Bytes == 0 {
			t.Errorf("rule %d, %s, has matched nothing", i, r.Text)
		}
	}
}

// Rules, peers and forwarding change while a flow passes the hub that the change
// leaves alone: it loses nothing.
func TestReloadOfForwardingLosesNothing(t *testing.T) {
	testutil.LeakCheck(t)
	hub, spokes := star(t, config.ForwardingOn, 2, nil)
	to := netip.AddrPortFrom(spokes[1].inner, 7)
	spokes[1].echoPackets(to)
	flow := spokes[0].steady(to)
	flow.more(100)
	var other config.Key
	for i := range 30 {
		cfg := hub.clone()
		switch i % 6 {
		case 0:
			cfg.Filter = parseFilter(t, spokes, "Allow = from alice to bob")
		case 1:
			cfg.Filter = parseFilter(t, spokes, "Deny = proto tcp", "Allow = proto udp port 7", "Deny = proto icmp")
		case 2:
			other = newKey(t)
			cfg.Peers = append(cfg.Peers, config.Peer{PublicKey: other.Public(), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.9.0.128/25")}})
			cfg.Filter = parseFilter(t, spokes, "Allow = any")
		case 3:
			cfg.Filter = config.Filter{}
		case 4:
			cfg.Filter = parseFilter(t, spokes, "Allow = from alice", "Deny = any")
		}
		if err := hub.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		flow.more(50)
	}
	flow.end()
}

// What was allowed ends when a reload takes the rule away.
func TestReloadEndsFlows(t *testing.T) {
	hub, spokes := star(t, config.ForwardingOn, 2, func(hub *site, spokes []*site) {
		hub.cfg.Filter = parseFilter(t, spokes, "Allow = from alice to bob")
	})
	spokes[1].echo(":7")
	c := spokes[0].dial(netip.AddrPortFrom(spokes[1].inner, 7).String())
	roundTrip(t, c, "before")
	cfg := hub.clone()
	cfg.Filter = parseFilter(t, spokes, "Allow = from alice to bob proto udp")
	if err := hub.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "after"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection still passes: %d bytes, %v", n, err)
	}
}

func TestStatusShowsForwarding(t *testing.T) {
	s := newSite(t, 1)
	o := newSite(t, 2)
	s.knows(o)
	s.cfg.Router.PeerForwarding = config.ForwardingIsolated
	s.cfg.Filter = parseFilter(t, []*site{o}, "Allow = from alice to host proto tcp port 22", "Deny = from peers")
	c := s.control()
	d, err := c.Get()
	if err != nil {
		t.Fatal(err)
	}
	if f := engine.ForwardingOf(d); f == nil || f.Mode != "isolated" || f.Packets != 0 {
		t.Errorf("forwarding: %+v", f)
	}
	f := engine.FilterOf(d)
	if f == nil || len(f.Rules) != 2 || f.MaxFlows == 0 {
		t.Fatalf("filter: %+v", f)
	}
	if r := f.Rules[0]; r.Text != "Allow = from alice to host proto tcp port 22" || r.Line == 0 {
		t.Errorf("first rule: %+v", r)
	}
	s.cfg = s.clone()
	s.cfg.Router.PeerForwarding, s.cfg.Filter = config.ForwardingOff, config.Filter{}
	if err := s.Reload(s.cfg); err != nil {
		t.Fatal(err)
	}
	if d, err = c.Get(); err != nil || engine.ForwardingOf(d) != nil || engine.FilterOf(d) != nil {
		t.Errorf("with both off: %+v, %+v, %v", engine.ForwardingOf(d), engine.FilterOf(d), err)
	}
}

// A name that nobody bears must not become everybody.
func TestFilterOfNobody(t *testing.T) {
	s := newSite(t, 1)
	s.start()
	cfg := s.clone()
	cfg.Filter.Rules = []config.FilterRule{{From: config.FilterEnd{Names: []string{"ghost"}}}}
	if err := s.Reload(cfg); err == nil || !strings.Contains(err.Error(), "ghost") {
		t.Errorf("Reload: %v, want an error that names it", err)
	}
	if got := len(s.Stats().Filter.Rules); got != 0 {
		t.Errorf("%d rules are in force", got)
	}
}
