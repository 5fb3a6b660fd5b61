// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/vishvananda/netlink"
)

// Topology of this file, unless a test says otherwise:
//
//	a (the router) eth0 ── veth ── eth0 b (a peer that moves)

// movingPeers are the programs of the end that moves: the router itself too, as
// that has to let go of its old address.
var movingPeers = []string{lab.RouterName, lab.UpstreamName}

// waitEndpoint waits until the device has its peer at an address.
func waitEndpoint(t *testing.T, d *lab.Device, peer lab.Key, want netip.AddrPort) {
	t.Helper()
	lab.Wait(t, lab.Patience, "endpoint "+want.String(), func() error {
		if got := d.Peer(peer).Endpoint; got != want {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

// wantPings fails the test unless both hosts can ping the other through the
// tunnel without loss.
func wantPings(t *testing.T, a, b *lab.Host) {
	t.Helper()
	for _, p := range []struct {
		from *lab.Host
		dst  netip.Addr
	}{{a, lab.TunnelB4}, {b, lab.TunnelA6}, {a, lab.TunnelB6}, {b, lab.TunnelA4}} {
		if n := must(traffic.Ping(p.from, p.dst, 3, 56))(t); n != 3 {
			t.Errorf("host %s: %d of 3 pings to %s answered", p.from.Name, n, p.dst)
		}
	}
}

// TestRoamToAddress changes the address of a peer while the tunnel is up: the
// router answers to where authenticated packets come from, within the session.
func TestRoamToAddress(t *testing.T) {
	self := subject(t)
	for _, name := range movingPeers {
		for _, family := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s/IPv%d", name, family), func(t *testing.T) {
				t.Parallel()
				net := lab.TwoHosts(1500).Build(t)
				a, b := net.Host("a"), net.Host("b")
				outerA, outerB := outer(family)
				tun := lab.StartTunnel(lab.TunnelOptions{A: self, B: implementation(t, name), HostA: a, HostB: b, OuterA: outerA, OuterB: outerB})
				traffic.WaitPing(t, a, lab.TunnelB4)
				before := tun.A.Peer(tun.B.PublicKey()).Handshake

				old, moved := "192.0.2.2/24", "192.0.2.77/24"
				if family == 6 {
					old, moved = "2001:db8:a::2/64", "2001:db8:a::77/64"
				}
				b.AddAddress("eth0", moved)
				b.DelAddress("eth0", old)
				traffic.WaitPing(t, b, lab.TunnelA4)
				waitEndpoint(t, tun.A, tun.B.PublicKey(), netip.AddrPortFrom(netip.MustParsePrefix(moved).Addr(), lab.Port))
				wantPings(t, a, b)
				if after := tun.A.Peer(tun.B.PublicKey()).Handshake; !after.Equal(before) {
					t.Errorf("the session was renewed: handshake at %v, before at %v", after, before)
				}
			})
		}
	}
}

// TestRoamToPortAndFamily changes a peer's port, and then the address family
// that it speaks from.
func TestRoamToPortAndFamily(t *testing.T) {
	self := subject(t)
	for _, name := range movingPeers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := lab.TwoHosts(1500).Build(t)
			a, b := net.Host("a"), net.Host("b")
			tun := lab.StartTunnel(lab.TunnelOptions{A: self, B: implementation(t, name), HostA: a, HostB: b, OuterA: lab.A4, OuterB: lab.B4})
			traffic.WaitPing(t, a, lab.TunnelB4)
			peer := tun.B.PublicKey()
			before := tun.A.Peer(peer).Handshake

			const port = 51999
			tun.B.Set(fmt.Sprintf("listen_port=%d\n", port))
			traffic.WaitPing(t, b, lab.TunnelA4)
			waitEndpoint(t, tun.A, peer, netip.AddrPortFrom(lab.B4, port))
			wantPings(t, a, b)

			tun.B.Set(fmt.Sprintf("public_key=%s\nupdate_only=true\nendpoint=[%s]:%d\n", tun.A.PublicKey().Hex(), lab.A6, lab.Port))
			traffic.WaitPing(t, b, lab.TunnelA4)
			waitEndpoint(t, tun.A, peer, netip.AddrPortFrom(lab.B6, port))
			if name == lab.RouterName {
				wantPings(t, a, b)
			} else {
				// Others send the first packets after a change of family to a
				// wrong address.
				traffic.WaitPing(t, a, lab.TunnelB4)
			}
			if after := tun.A.Peer(peer).Handshake; !after.Equal(before) {
				t.Errorf("the session was renewed: handshake at %v, before at %v", after, before)
			}
		})
	}
}

// TestNATRebind lets a NAT between the peers forget its mapping and choose
// another port:
//
//	a (a peer) ── r (NAT) ── c (the router, knows no endpoint)
func TestNATRebind(t *testing.T) {
	self := subject(t)
	t.Parallel()
	net := lab.ThroughRouter(1500).Build(t)
	a, r, c := net.Host("a"), net.Host("r"), net.Host("c")
	nat := func(port int) netip.AddrPort {
		r.NFT(fmt.Sprintf(`table ip lab
			delete table ip lab
			table ip lab { chain post { type nat hook postrouting priority 100;
				oifname "net1" meta l4proto udp snat to 198.51.100.254:%d
			}
			}`, port))
		must(0, r.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }))(t)
		return netip.AddrPortFrom(netip.MustParseAddr("198.51.100.254"), uint16(port))
	}
	mapped := nat(40000)
	tun := lab.StartTunnel(lab.TunnelOptions{
		A: self, HostA: c, OuterA: lab.C4, ForgetB: true,
		B: implementation(t, lab.UpstreamName), HostB: a, OuterB: lab.A4,
	})
	traffic.WaitPing(t, a, lab.TunnelA4)
	waitEndpoint(t, tun.A, tun.B.PublicKey(), mapped)
	before := tun.A.Peer(tun.B.PublicKey()).Handshake
	for port := 40001; port <= 40005; port++ {
		mapped := nat(port)
		if n := must(traffic.Ping(a, lab.TunnelA4, 3, 56))(t); n != 3 {
			t.Errorf("%d of 3 pings answered after the mapping changed", n)
		}
		waitEndpoint(t, tun.A, tun.B.PublicKey(), mapped)
	}
	if after := tun.A.Peer(tun.B.PublicKey()).Handshake; !after.Equal(before) {
		t.Errorf("the session was renewed: handshake at %v, before at %v", after, before)
	}
}

// TestReplayDoesNotMove replays everything that a peer has sent, from another
// port, when the peer itself is silent: nothing goes there.
func TestReplayDoesNotMove(t *testing.T) {
	self := subject(t)
	t.Parallel()
	net := lab.TwoHosts(1500).Build(t)
	a, b := net.Host("a"), net.Host("b")
	b.NFT(`table inet lab { counter stray {}
		chain in { type filter hook input priority 0; udp dport 40000 counter name stray; }
		}`)
	sniffer := must(traffic.Sniff(a, "eth0"))(t)
	tun := lab.StartTunnel(lab.TunnelOptions{
		A: self, HostA: a, OuterA: lab.A4,
		B: implementation(t, lab.UpstreamName), HostB: b, OuterB: lab.B4,
	})
	traffic.WaitPing(t, b, lab.TunnelA4)
	wantPings(t, a, b)
	seen := must(sniffer.Stop())(t)
	tun.B.Process.Kill()

	var replay [][]byte
	types := make(map[byte]int)
	for _, d := range seen {
		if d.Src == outerPort(lab.B4) {
			replay = append(replay, d.Payload)
			types[d.Payload[0]]++
		}
	}
	if types[1] == 0 || types[4] == 0 {
		t.Fatalf("recorded messages by type: %v, want initiations and data", types)
	}
	read := a.Counter("Udp", "InDatagrams")
	if err := traffic.Send(b, netip.AddrPortFrom(lab.B4, 40000), outerPort(lab.A4), replay...); err != nil {
		t.Fatal(err)
	}
	lab.Wait(t, lab.Patience, "the program reads the replayed datagrams", func() error {
		if got := a.Counter("Udp", "InDatagrams") - read; got < int64(len(replay)) {
			return fmt.Errorf("%d of %d", got, len(replay))
		}
		return nil
	})
	// What it sends now shows where it believes the peer is.
	if n := must(traffic.Ping(a, lab.TunnelB4, 20, 56))(t); n != 0 {
		t.Errorf("%d pings answered by a peer that is gone", n)
	}
	if got, want := tun.A.Peer(tun.B.PublicKey()).Endpoint, outerPort(lab.B4); got != want {
		t.Errorf("the peer is taken to be at %s, want %s", got, want)
	}
	if n := b.NFTCounter("stray"); n != 0 {
		t.Errorf("%d datagrams went to the one who replayed", n)
	}
}
