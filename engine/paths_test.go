// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/uapi"
)

// serveRelay runs a relay for the sites until the test ends, and returns the section
// that leads to it.
func serveRelay(t *testing.T, reload chan *config.Config, clients ...*site) (*config.Config, config.Relay) {
	t.Helper()
	key := newKey(t)
	cfg := &config.Config{
		Interface:   config.Interface{PrivateKey: key},
		RelayServer: &config.RelayServer{ListenPort: freeUDPPort(t)},
	}
	for _, c := range clients {
		cfg.RelayServer.Keys = append(cfg.RelayServer.Keys, c.key.Public())
	}
	cfg.RelayServer.AllowedKeys = cfg.RelayServer.Keys
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- engine.RunRelay(ctx, cfg, &engine.RelayOptions{Ready: func([]netip.AddrPort) { close(ready) }, Reload: reload})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("RunRelay: %v", err)
		}
	})
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("the relay is not ready")
	}
	return cfg, config.Relay{PublicKey: key.Public(), Endpoint: config.Endpoint{Host: loopback.String(), Port: cfg.RelayServer.ListenPort}}
}

// freeUDPPort returns a UDP port that nobody has at the moment.
func freeUDPPort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func ask[T any](t *testing.T, s *site, name string, args ...uapi.KeyValue) T {
	t.Helper()
	text, err := engine.Ask(s.Engine, name, args)
	if err != nil {
		t.Fatalf("ask %s: %v", name, err)
	}
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("ask %s: %s: %v", name, text, err)
	}
	return v
}

func (s *site) pathTo(o *site) (*engine.PathInfo, error) {
	d, err := s.Status()
	if err != nil {
		return nil, err
	}
	for i := range d.Peers {
		if p := &d.Peers[i]; config.Key(p.PublicKey) == o.key.Public() {
			if st := engine.PathOf(p); st != nil {
				return st, nil
			}
		}
	}
	return nil, errors.New("nothing is known about the peer")
}

// TestRelay: two routers that do not know where the other is, and a relay. A
// connection goes over it; status, ping and netcheck tell of it; without [Relay] after a
// reload it is gone.
func TestRelay(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := newSite(t, 1), newSite(t, 2)
	reload := make(chan *config.Config)
	served, section := serveRelay(t, reload, a, b)
	for _, s := range []*site{a, b} {
		s.cfg.Relays = []config.Relay{section}
	}
	a.knows(b)
	b.knows(a)
	a.start()
	b.start()
	a.run()
	b.run()
	b.echo(":7")
	roundTrip(t, a.dial(b.inner.String()+":7"), "over the relay")

	st, err := a.pathTo(b)
	if err != nil || !st.Choice.Primary.VNI.IsSet() || st.Router != "yes" {
		t.Errorf("the path is %+v, %v; want one over the relay", st, err)
	}
	ping := ask[path.PingResult](t, a, "ping", uapi.KeyValue{Key: "peer", Value: b.key.Public().String()})
	if len(ping.Replies) == 0 || !ping.Replies[0].Answered || !ping.Replies[0].Path.VNI.IsSet() {
		t.Errorf("ping: %+v, want an answer over the relay", ping)
	}
	report := ask[path.NetReport](t, a, "netcheck")
	if len(report.Relays) != 1 || !report.Relays[0].Registered || report.Relays[0].Sessions != 1 {
		t.Errorf("netcheck: %+v, want one relay with one session", report)
	}
	if s := a.Stats(); s.Paths == nil || s.Paths.Relays != 1 || s.Paths.Relayed != 1 {
		t.Errorf("counters: %+v, want one relay and one relayed peer", s.Paths)
	}

	// Nobody is allowed any more: the sessions end.
	empty := *served
	empty.RelayServer = &config.RelayServer{ListenPort: served.RelayServer.ListenPort, Keys: []config.Key{newKey(t).Public()}}
	empty.RelayServer.AllowedKeys = empty.RelayServer.Keys
	reload <- &empty
	reload <- served // taken when the one before has been applied
	roundTrip(t, a.dial(b.inner.String()+":7"), "again over the relay")

	without := *a.cfg
	without.Relays = nil
	if err := a.Reload(&without); err != nil {
		t.Fatal(err)
	}
	testutil.Eventually(t, patience, "no relay", func() error {
		if r := ask[path.NetReport](t, a, "netcheck"); len(r.Relays) != 0 {
			return fmt.Errorf("%+v", r.Relays)
		}
		return nil
	})
}

// TestRelayInRouter: the relay is one of the routers, and serves its own peers, also
// those that come by a reload.
func TestRelayInRouter(t *testing.T) {
	testutil.LeakCheck(t)
	a, b, hub := newSite(t, 1), newSite(t, 2), newSite(t, 3)
	hub.knows(a)
	hub.cfg.RelayServer = &config.RelayServer{ListenPort: freeUDPPort(t), AllowPeers: true}
	hub.start()
	hub.run()
	section := config.Relay{PublicKey: hub.key.Public(), Endpoint: config.Endpoint{Host: loopback.String(), Port: hub.cfg.RelayServer.ListenPort}}
	for _, s := range []*site{a, b} {
		s.cfg.Relays = []config.Relay{section}
	}
	a.knows(b)
	b.knows(a)
	a.start()
	b.start()
	a.run()
	b.run()
	b.echo(":7")
	with := *hub.cfg
	with.Peers = append(with.Peers[:1:1], config.Peer{PublicKey: b.key.Public(), AllowedIPs: []netip.Prefix{netip.PrefixFrom(b.inner, 32)}})
	if err := hub.Reload(&with); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, a.dial(b.inner.String()+":7"), "over a hub's relay")
	if s := hub.Stats().Relay; s == nil || s.Sessions != 1 {
		t.Errorf("the relay: %+v, want one session", s)
	}
	none := with
	none.RelayServer = nil
	if err := hub.Reload(&none); err != nil {
		t.Fatal(err)
	}
	if s := hub.Stats().Relay; s != nil {
		t.Errorf("the relay: %+v, want none", s)
	}
}

// TestRelayByName: the name of a relay that does not resolve at first is no reason
// not to start, and it is used when it does.
func TestRelayByName(t *testing.T) {
	testutil.LeakCheck(t)
	a := newSite(t, 1)
	_, section := serveRelay(t, nil, a)
	section.Endpoint.Host = "relay.example"
	a.cfg.Relays = []config.Relay{section}
	var asked atomic.Int32
	e, err := engine.New(a.cfg, &engine.Options{
		NoControl: true, ListenOn: []netip.Addr{loopback},
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if asked.Add(1); host != "relay.example" {
				return nil, errors.New("no such host")
			}
			return []netip.Addr{loopback}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Engine = e
	if r := ask[path.NetReport](t, a, "netcheck"); len(r.Relays) != 1 || !strings.Contains(r.Relays[0].Problem, "name") {
		t.Errorf("netcheck before a lookup: %+v", r.Relays)
	}
	a.run()
	testutil.Eventually(t, patience, "registered", func() error {
		if r := ask[path.NetReport](t, a, "netcheck"); len(r.Relays) != 1 || !r.Relays[0].Registered {
			return fmt.Errorf("%+v", r.Relays)
		}
		return nil
	})
	if asked.Load() != 1 {
		t.Errorf("asked %d times, want once", asked.Load())
	}
}

// Questions with no sense are refused.
func TestAskMistakes(t *testing.T) {
	a := newSite(t, 1)
	a.start()
	stranger := newKey(t).Public().String()
	for _, tt := range []struct {
		name string
		args []uapi.KeyValue
		want error
	}{
		{"weather", nil, errors.ErrUnsupported},
		{"ping", nil, nil},
		{"ping", []uapi.KeyValue{{Key: "peer", Value: "garbage"}}, nil},
		{"ping", []uapi.KeyValue{{Key: "peer", Value: stranger}}, nil},
	} {
		_, err := engine.Ask(a.Engine, tt.name, tt.args)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s %v: %v, want an error like %v", tt.name, tt.args, err, tt.want)
		}
	}
}
