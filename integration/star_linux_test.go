// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// A hubMode is a way in which a hub takes packets from one peer to another.
type hubMode struct {
	name     string
	forward  bool // the hub's kernel would forward
	netstack bool // the hub has no kernel device and no privilege
	sections string
}

// Configuration of the hub.
const (
	forwardingOn = "[Router]\nPeerForwarding = on\n"
	isolated     = "[Router]\nPeerForwarding = isolated\n"
)

// Hubs between whose peers packets pass. Where the router forwards, its kernel
// would not.
var forwardingModes = []hubMode{
	{name: "kernel", forward: true},
	{name: "cut-through", sections: forwardingOn},
	{name: "netstack", netstack: true, sections: forwardingOn},
}

// newStar starts a hub with so many peers, all of them the router:
//
//	peer1 eth0 ─── eth1 hub eth2 ─── eth0 peer2 …
func newStar(t *testing.T, bin string, mode hubMode, o lab.StarOptions) (*lab.Star, *lab.Process) {
	t.Helper()
	self := lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true, Sections: mode.sections}
	o.Program, o.Forward = lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true}, mode.forward
	s := lab.NewStar(t, o)
	if mode.netstack {
		s.Hub.WriteFile("/etc/wireguard/wg0.conf", s.HubOptions().File(mode.sections), 0o600)
		p := s.Hub.Start(lab.Command{Path: "setpriv", Args: []string{"--bounding-set=-all", "--inh-caps=-all", bin, "up", "--mode", "netstack", "wg0"}})
		// Before that a handshake would get lost, and the next come 5 s later.
		lab.Wait(t, lab.Patience, "router up", func() error {
			if !p.Running() || !strings.Contains(p.Output(), "router started") {
				return errors.New(p.Output())
			}
			return nil
		})
		return s, p
	}
	if self.Sections == "" {
		self.Sections = "[Router]\n" // from a file too
	}
	return s, s.StartHub(self).Process
}

// reload gives a running hub other sections.
func reload(t *testing.T, bin string, s *lab.Star, sections string) {
	t.Helper()
	s.Hub.WriteFile("/etc/wireguard/wg0.conf", s.HubOptions().File(sections), 0o600)
	s.Hub.Output(bin, "reload", "wg0")
}

// wantForwarded checks that two peers reach each other, with every byte right.
func wantForwarded(t *testing.T, s *lab.Star, i, j int) {
	t.Helper()
	for _, dst := range []netip.Addr{lab.PeerTunnel4(j), lab.PeerTunnel6(j)} {
		traffic.WaitPing(t, s.Peer(i), dst)
		if n := must(traffic.Ping(s.Peer(i), dst, 5, 1200))(t); n != 5 {
			t.Errorf("peer %d to %s: %d of 5 pings answered", i, dst, n)
		}
		if r := must(traffic.TCP(s.Peer(i), s.Peer(j), dst, 1<<20))(t); r.Received < 2<<20 {
			t.Errorf("peer %d to %s: TCP carried %d bytes", i, dst, r.Received)
		}
		if r := must(traffic.UDP(s.Peer(i), s.Peer(j), dst, 300, 200, 3000))(t); r.Lost+r.Duplicated+r.Reordered+r.Corrupt != 0 {
			t.Errorf("peer %d to %s: %s", i, dst, r)
		}
	}
}

// wantNoPing checks that pings are not answered. That they do not arrive is for the
// test to check, at once or after something that arrives behind them.
func wantNoPing(t *testing.T, from *lab.Host, dst netip.Addr) {
	t.Helper()
	before := from.EchoReplies()
	r := from.Exec(lab.Command{Path: "ping", Args: []string{"-n", "-q", "-i", "0.02", "-c", "3", "-W", "0.2", dst.String()}})
	if n := from.EchoReplies() - before; n != 0 || r.Code == 0 {
		t.Errorf("host %s: %d pings to %s answered\n%s", from.Name, n, dst, r.Stdout)
	}
}

// wantNoKernel checks that the hub's kernel has forwarded nothing.
func wantNoKernel(t *testing.T, s *lab.Star) {
	t.Helper()
	if n := s.Hub.Counter("Ip", "ForwDatagrams") + s.Hub.Counter6("Ip6OutForwDatagrams"); n != 0 {
		t.Errorf("the hub's kernel has forwarded %d packets", n)
	}
}

// TestForwarding takes packets from peer to peer in every mode, and to and from
// the hub itself.
func TestForwarding(t *testing.T) {
	bin := router(t)
	for _, mode := range forwardingModes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStar(t, bin, mode, lab.StarOptions{Peers: 2})
			wantForwarded(t, s, 1, 2)
			wantForwarded(t, s, 2, 1)
			wantHub(t, s, mode)
			if !mode.forward {
				wantNoKernel(t, s)
			}
		})
	}
}

// wantHub checks that peers reach the hub itself, and the hub its peers.
func wantHub(t *testing.T, s *lab.Star, mode hubMode) {
	t.Helper()
	for i := 1; i <= len(s.Peers); i++ {
		for _, dst := range []netip.Addr{lab.HubTunnel4, lab.HubTunnel6} {
			traffic.WaitPing(t, s.Peer(i), dst)
			if n := must(traffic.Ping(s.Peer(i), dst, 5, 1200))(t); n != 5 {
				t.Errorf("peer %d to the hub's %s: %d of 5 pings answered", i, dst, n)
			}
			if mode.netstack {
				continue
			}
			if r := must(traffic.TCP(s.Peer(i), s.Hub, dst, 1<<20))(t); r.Received < 2<<20 {
				t.Errorf("peer %d to the hub's %s: TCP carried %d bytes", i, dst, r.Received)
			}
		}
		if !mode.netstack {
			if n := must(traffic.Ping(s.Hub, lab.PeerTunnel6(i), 5, 1200))(t); n != 5 {
				t.Errorf("hub to peer %d: %d of 5 pings answered", i, n)
			}
		}
	}
}

// TestForwardingIsolated keeps peers apart, even where the hub's kernel would
// forward; they reach the hub.
func TestForwardingIsolated(t *testing.T) {
	bin := router(t)
	for _, mode := range []hubMode{
		{name: "kernel", forward: true, sections: isolated},
		{name: "netstack", netstack: true, sections: isolated},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStar(t, bin, mode, lab.StarOptions{Peers: 2})
			wantHub(t, s, mode)
			for i := 1; i <= 2; i++ {
				s.Peer(i).NFT(fmt.Sprintf(`table inet lab { counter other {}
					chain in { type filter hook input priority 0;
						iifname wg0 ip saddr %s counter name other
						iifname wg0 ip6 saddr %s counter name other
					}
					}`, lab.PeerTunnel4(3-i), lab.PeerTunnel6(3-i)))
			}
			for _, dst := range []netip.Addr{lab.PeerTunnel4(2), lab.PeerTunnel6(2)} {
				wantNoPing(t, s.Peer(1), dst)
			}
			if err := traffic.Send(s.Peer(2), netip.AddrPort{}, netip.AddrPortFrom(lab.PeerTunnel4(1), 7), []byte("one"), []byte("two")); err != nil {
				t.Error(err)
			}
			// What was sent before would have arrived before this.
			wantHub(t, s, mode)
			for i := 1; i <= 2; i++ {
				if n := s.Peer(i).NFTCounter("other"); n != 0 {
					t.Errorf("%d packets of the other reached peer %d", n, i)
				}
			}
		})
	}
}
