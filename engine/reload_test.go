// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/uapi"
)

// clone returns a copy of the site's configuration to change.
func (s *site) clone() *config.Config {
	c := *s.cfg
	c.Peers = slices.Clone(c.Peers)
	for i := range c.Peers {
		c.Peers[i].AllowedIPs = slices.Clone(c.Peers[i].AllowedIPs)
	}
	return &c
}

func (s *site) peerStatus(key config.Key) uapi.Peer {
	s.t.Helper()
	st, err := s.Status()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range st.Peers {
		if p.PublicKey == [32]byte(key) {
			return p
		}
	}
	s.t.Fatalf("no peer %v", key)
	return uapi.Peer{}
}

func TestReloadLeavesUnchangedPeersAlone(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	other := newKey(t)
	a.knows(b)
	a.cfg.Peers = append(a.cfg.Peers, config.Peer{PublicKey: other.Public(), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.9.1.0/24")}})
	a.start()
	b.echo(":7")
	c := a.dial(netip.AddrPortFrom(b.inner, 7).String())
	roundTrip(t, c, "before")
	before := a.peerStatus(b.key.Public())
	port := a.ListenPort()

	cfg := a.clone()
	cfg.Peers[1].AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.9.2.0/24")}
	cfg.Peers[1].PersistentKeepalive = 7
	cfg.Peers[1].PresharedKey = newKey(t)
	cfg.Peers = append(cfg.Peers, config.Peer{PublicKey: newKey(t).Public(), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.9.3.0/24")}})
	for range 3 { // the second and third time there is nothing to do
		if err := a.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		roundTrip(t, c, "after")
	}
	after := a.peerStatus(b.key.Public())
	if !after.LastHandshake.Equal(before.LastHandshake) {
		t.Error("the session of an unchanged peer was renewed")
	}
	if a.ListenPort() != port {
		t.Error("the sockets were opened again")
	}
	changed := a.peerStatus(other.Public())
	if changed.PersistentKeepalive != 7 || changed.PresharedKey != [32]byte(cfg.Peers[1].PresharedKey) ||
		!slices.Equal(changed.AllowedIPs, cfg.Peers[1].AllowedIPs) {
		t.Errorf("the changed peer is %+v, want %+v", changed, cfg.Peers[1])
	}

	cfg = a.clone()
	cfg.Peers = cfg.Peers[:1]
	if err := a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if st, _ := a.Status(); len(st.Peers) != 1 {
		t.Errorf("%d peers after a reload that leaves one", len(st.Peers))
	}
	roundTrip(t, c, "still")
}

func TestReloadRefusesWhatCannotChange(t *testing.T) {
	s := newSite(t, 1)
	s.start()
	cfg := s.clone()
	cfg.Router.Mode = config.ModeTUN
	cfg.Peers = []config.Peer{{PublicKey: newKey(t).Public()}}
	if err := s.Reload(cfg); err == nil || !strings.Contains(err.Error(), "[Router] Mode") {
		t.Errorf("Reload: %v, want an error that names the key", err)
	}
	if st, _ := s.Status(); len(st.Peers) != 0 {
		t.Error("a refused reload was half applied")
	}
	if err := s.ReloadFile(); !errors.Is(err, engine.ErrNoFile) {
		t.Errorf("ReloadFile: %v", err)
	}
}

func TestReloadChangesAddressAndPort(t *testing.T) {
	a, b := pair(t)
	b.echo(":7")
	roundTrip(t, a.dial(netip.AddrPortFrom(b.inner, 7).String()), "before")

	moved := netip.MustParseAddr("10.9.0.77")
	cfg := b.clone()
	cfg.Interface.Addresses = append(cfg.Interface.Addresses, netip.PrefixFrom(moved, 24))
	if err := b.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	cfg = a.clone()
	cfg.Peers[0].AllowedIPs = append(cfg.Peers[0].AllowedIPs, netip.PrefixFrom(moved, 32))
	cfg.Interface.ListenPort = freePort(t)
	if err := a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if a.ListenPort() != cfg.Interface.ListenPort {
		t.Errorf("listening on %d, want %d", a.ListenPort(), cfg.Interface.ListenPort)
	}
	roundTrip(t, a.dial(netip.AddrPortFrom(moved, 7).String()), "after")
	if got := b.peerStatus(a.key.Public()).Endpoint.Port(); got != cfg.Interface.ListenPort {
		t.Errorf("the peer sees port %d, want the new %d", got, cfg.Interface.ListenPort)
	}
}

func TestReloadToABusyPortGoesBack(t *testing.T) {
	a, b := pair(t)
	b.echo(":7")
	port := a.ListenPort()
	cfg := a.clone()
	cfg.Interface.ListenPort = b.ListenPort()
	if err := a.Reload(cfg); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("Reload: %v", err)
	}
	if got := a.ListenPort(); got != port {
		t.Errorf("listening on %d after a refused port, want %d as before", got, port)
	}
	roundTrip(t, a.dial(netip.AddrPortFrom(b.inner, 7).String()), "still works")
}

func TestLookupFailureIsTriedAgain(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	a.knows(b)
	a.cfg.Peers[0].Endpoint.Host = "late.example.org"
	ready := make(chan struct{})
	e, err := engine.New(a.cfg, &engine.Options{
		NoControl: true, ListenOn: []netip.Addr{loopback},
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			select {
			case <-ready:
				return []netip.Addr{loopback}, nil
			default:
				return nil, errors.New("resolver is down")
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Engine = e
	t.Cleanup(func() { e.Close() })
	a.run()
	b.echo(":7")
	close(ready)
	roundTrip(t, a.dial(netip.AddrPortFrom(b.inner, 7).String()), "resolved late")
}
