// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// countSources makes host b count the tunnel's packets by their source address:
// counter main for the first address of host a, other for the second.
func countSources(b *lab.Host, main, other netip.Addr) {
	family := "ip"
	if main.Is6() {
		family = "ip6"
	}
	b.NFT(fmt.Sprintf(`table inet lab {
		counter main {}
		counter other {}
		chain in { type filter hook input priority 0;
			udp dport 51820 %[1]s saddr %[2]s counter name main
			udp dport 51820 %[1]s saddr %[3]s counter name other
		}
		}`, family, main, other))
}

// TestStickySource has a peer that talks to the second of two addresses of the
// router. Answers come from that address and from no other, until it goes away:
//
//	a (the router) eth0 .1 and .11 ── veth ── eth0 .2 b
func TestStickySource(t *testing.T) {
	self := subject(t)
	for _, test := range []struct {
		family      int
		second      string
		main, other netip.Addr
	}{
		{4, "192.0.2.11/24", lab.A4, netip.MustParseAddr("192.0.2.11")},
		{6, "2001:db8:a::11/64", lab.A6, netip.MustParseAddr("2001:db8:a::11")},
	} {
		for _, name := range movingPeers {
			t.Run(fmt.Sprintf("%s/IPv%d", name, test.family), func(t *testing.T) {
				t.Parallel()
				net := lab.TwoHosts(1500).Build(t)
				a, b := net.Host("a"), net.Host("b")
				main, other := test.main, test.other
				a.AddAddress("eth0", test.second)
				// The kernel prefers one of the two; the peer talks to the other.
				if kernelSource(t, a, test.family) == other {
					main, other = other, main
				}
				countSources(b, main, other)
				_, outerB := outer(test.family)
				tun := lab.StartTunnel(lab.TunnelOptions{
					A: self, HostA: a, OuterA: other, ForgetB: true,
					B: implementation(t, name), HostB: b, OuterB: outerB,
				})
				traffic.WaitPing(t, b, lab.TunnelA4)
				wantPings(t, a, b)
				if n := b.NFTCounter("main"); n != 0 {
					t.Errorf("%d packets from %s, to which the peer has never spoken", n, main)
				}
				if n := b.NFTCounter("other"); n == 0 {
					t.Errorf("no packets from %s", other)
				}
				if got, want := tun.B.Peer(tun.A.PublicKey()).Endpoint, netip.AddrPortFrom(other, lab.Port); got != want {
					t.Errorf("the peer sees the router at %s, want %s", got, want)
				}

				prefix := "/24"
				if test.family == 6 {
					prefix = "/64"
				}
				a.DelAddress("eth0", other.String()+prefix)
				traffic.WaitPing(t, a, lab.TunnelB4)
				waitEndpoint(t, tun.B, tun.A.PublicKey(), netip.AddrPortFrom(main, lab.Port))
				wantPings(t, a, b)
			})
		}
	}
}

// kernelSource returns the source address that the kernel chooses towards
// host b.
func kernelSource(t *testing.T, h *lab.Host, family int) netip.Addr {
	t.Helper()
	_, b := outer(family)
	out := h.Output("ip", "-o", "route", "get", b.String())
	fields := strings.Fields(out)
	i := slices.Index(fields, "src")
	if i < 0 || i+1 == len(fields) {
		t.Fatalf("no source address in %q", out)
	}
	return netip.MustParseAddr(fields[i+1])
}

// TestStickySourceRoute fails the uplink over which a peer came. Its address
// stays, but leads nowhere: the router has to let go of it.
//
//	a (the router) eth0 192.0.2.1  ── net0 r net2 ── eth0 c 198.51.100.1
//	               eth1 203.0.113.1 ── net1          (a peer)
func TestStickySourceRoute(t *testing.T) {
	self := subject(t)
	t.Parallel()
	net := lab.Topology{
		Links: []lab.Link{
			{A: lab.End{Host: "a", Interface: "eth0", Addresses: []string{"192.0.2.1/24"}}, B: lab.End{Host: "r", Interface: "net0", Addresses: []string{"192.0.2.254/24"}}},
			{A: lab.End{Host: "a", Interface: "eth1", Addresses: []string{"203.0.113.1/24"}}, B: lab.End{Host: "r", Interface: "net1", Addresses: []string{"203.0.113.254/24"}}},
			{A: lab.End{Host: "r", Interface: "net2", Addresses: []string{"198.51.100.254/24"}}, B: lab.End{Host: "c", Interface: "eth0", Addresses: []string{"198.51.100.1/24"}}},
		},
		Routers: []string{"r"},
		Routes:  []lab.Route{{Host: "c", Dst: "0.0.0.0/0", Via: "198.51.100.254"}},
	}.Build(t)
	a, c := net.Host("a"), net.Host("c")
	a.Output("ip", "route", "add", "default", "via", "203.0.113.254", "metric", "100")
	a.Output("ip", "route", "add", "default", "via", "192.0.2.254", "metric", "200")

	uplink := netip.MustParseAddr("203.0.113.1")
	tun := lab.StartTunnel(lab.TunnelOptions{
		A: self, HostA: a, OuterA: uplink, ForgetB: true,
		B: implementation(t, lab.UpstreamName), HostB: c, OuterB: lab.C4,
	})
	traffic.WaitPing(t, c, lab.TunnelA4)
	if got, want := tun.B.Peer(tun.A.PublicKey()).Endpoint, netip.AddrPortFrom(uplink, lab.Port); got != want {
		t.Fatalf("the peer sees the router at %s, want %s", got, want)
	}
	a.SetDown("eth1")
	traffic.WaitPing(t, a, lab.TunnelB4)
	waitEndpoint(t, tun.B, tun.A.PublicKey(), outerPort(lab.A4))
	wantPings(t, a, c)
}
