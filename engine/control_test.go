// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/uapi"
)

// freePort returns a UDP port that nothing on loopback uses.
func freePort(t testing.TB) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// control starts the site with a control socket and returns a client of it.
func (s *site) control() *uapi.Client {
	s.t.Helper()
	s.cfg.Router.ControlSocket = filepath.Join(s.t.TempDir(), "c.sock")
	e, err := engine.New(s.cfg, &engine.Options{ListenOn: []netip.Addr{loopback}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Engine = e
	s.t.Cleanup(func() { e.Close() })
	s.run()
	c, err := uapi.Dial(s.cfg.Router.ControlSocket)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func add(ps ...string) []uapi.AllowedIPChange {
	var out []uapi.AllowedIPChange
	for _, p := range ps {
		out = append(out, uapi.AllowedIPChange{Prefix: prefix(p)})
	}
	return out
}

func TestSetOverControlSocket(t *testing.T) {
	s := newSite(t, 1)
	c := s.control()
	one, two := [32]byte(newKey(t).Public()), [32]byte(newKey(t).Public())
	set := func(r *uapi.SetRequest) {
		t.Helper()
		if err := c.Set(r); err != nil {
			t.Fatal(err)
		}
	}
	allowed := func(key [32]byte, want ...string) {
		t.Helper()
		got := []string{}
		for _, p := range s.peerStatus(config.Key(key)).AllowedIPs {
			got = append(got, p.String())
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("allowed IPs are %v, want %v", got, want)
		}
	}
	at := netip.MustParseAddrPort("127.0.0.1:9")
	ka := uint16(25)
	set(&uapi.SetRequest{Peers: []uapi.PeerRequest{
		{PublicKey: one, Endpoint: &at, PersistentKeepalive: &ka, AllowedIPs: add("10.1.0.0/16", "10.1.2.0/24", "fd00::/64")},
		{PublicKey: two, AllowedIPs: add("10.2.0.0/16")},
		{PublicKey: [32]byte{9}, UpdateOnly: true, AllowedIPs: add("10.3.0.0/16")},
	}})
	if st, _ := s.Status(); len(st.Peers) != 2 {
		t.Fatalf("%d peers, want 2: update_only makes none", len(st.Peers))
	}
	p := s.peerStatus(config.Key(one))
	if p.Endpoint != at || p.PersistentKeepalive != ka {
		t.Errorf("peer is %+v", p)
	}
	allowed(one, "10.1.0.0/16", "10.1.2.0/24", "fd00::/64")

	// Incremental removal, also of what somebody else owns.
	set(&uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: one, AllowedIPs: []uapi.AllowedIPChange{
		{Prefix: prefix("10.1.2.0/24"), Remove: true},
		{Prefix: prefix("10.2.0.0/16"), Remove: true},
	}}}})
	allowed(one, "10.1.0.0/16", "fd00::/64")
	allowed(two, "10.2.0.0/16")

	// The last to claim a prefix owns it.
	set(&uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: two, AllowedIPs: add("10.1.0.0/16")}}})
	allowed(one, "fd00::/64")
	allowed(two, "10.1.0.0/16", "10.2.0.0/16")

	// A replacement keeps what stays.
	set(&uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: two, ReplaceAllowedIPs: true, AllowedIPs: add("10.2.0.0/16", "10.4.0.0/16")}}})
	allowed(two, "10.2.0.0/16", "10.4.0.0/16")

	set(&uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: one, Remove: true}}})
	port := freePort(t)
	set(&uapi.SetRequest{ListenPort: &port})
	if st, _ := c.Get(); st == nil || len(st.Peers) != 1 || st.ListenPort != port {
		t.Fatalf("got %+v, want one peer and port %d", st, port)
	}

	// The key of a peer as our own removes that peer.
	mine := newKey(t)
	mineRaw := [32]byte(mine)
	set(&uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: [32]byte(mine.Public()), AllowedIPs: add("10.5.0.0/16")}}})
	set(&uapi.SetRequest{PrivateKey: &mineRaw})
	set(&uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: [32]byte(mine.Public()), AllowedIPs: add("10.5.0.0/16")}}})
	if st, _ := s.Status(); len(st.Peers) != 1 {
		t.Errorf("%d peers, want 1: nobody is a peer of itself", len(st.Peers))
	}
	set(&uapi.SetRequest{ReplacePeers: true, Peers: []uapi.PeerRequest{{PublicKey: one, AllowedIPs: add("10.2.0.0/16")}}})
	allowed(one, "10.2.0.0/16")
}

func TestUnchangedPortKeepsTheSockets(t *testing.T) {
	s := newSite(t, 1)
	c := s.control()
	before := s.ListenPort()
	for _, port := range []uint16{0, 0} { // as wg syncconf sends for a file without ListenPort
		if err := c.Set(&uapi.SetRequest{ListenPort: &port}); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.ListenPort(); got != before {
		t.Errorf("port went from %d to %d", before, got)
	}
}

// A new preshared key on both sides takes effect with the next handshake; the
// running session goes on.
func TestPresharedKeyKeepsTheSession(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.knows(a)
	cb := b.control()
	a.knows(b)
	ca := a.control()
	b.echo(":7")
	c := a.dial(netip.AddrPortFrom(b.inner, 7).String())
	roundTrip(t, c, "before")
	before := a.peerStatus(b.key.Public()).LastHandshake
	psk := [32]byte(newKey(t))
	for _, x := range []struct {
		c   *uapi.Client
		key config.Key
	}{{ca, b.key}, {cb, a.key}} {
		if err := x.c.Set(&uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: [32]byte(x.key.Public()), UpdateOnly: true, PresharedKey: &psk}}}); err != nil {
			t.Fatal(err)
		}
	}
	roundTrip(t, c, "after")
	p := a.peerStatus(b.key.Public())
	if !p.LastHandshake.Equal(before) || p.PresharedKey != psk {
		t.Errorf("handshake at %v (before: %v), key set: %v", p.LastHandshake, before, p.PresharedKey == psk)
	}
}

// Reads and changes at the same time, for the race detector.
func TestGetDuringSet(t *testing.T) {
	s := newSite(t, 1)
	c := s.control()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := s.Status(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	key := [32]byte(newKey(t).Public())
	for i, end := 0, time.Now().Add(500*time.Millisecond); time.Now().Before(end); i++ {
		r := &uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: key, ReplaceAllowedIPs: true, AllowedIPs: add("10.1.0.0/16", "10.2.0.0/16")}}}
		if i%3 == 2 {
			r.Peers[0] = uapi.PeerRequest{PublicKey: key, Remove: true}
		}
		if err := c.Set(r); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-done
}
