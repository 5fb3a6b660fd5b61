// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A neighbour on the link, and one behind a gateway.
func TestLookup(t *testing.T) {
	for _, tt := range []struct{ name, src, near, far, network string }{
		{"v4", "192.0.2.1", "192.0.2.2", "203.0.113.9", "203.0.113.0/24"},
		{"v6", "2001:db8::1", "2001:db8::2", "2001:db8:9::9", "2001:db8:9::/48"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, nil, func(l *lab) {
				l.neighbour(tt.near, mac1, netlink.NUD_PERMANENT)
				l.route(tt.network, tt.near, l.eth0)
				want := nexthop.Hop{
					Source: [6]byte(l.eth0.Attrs().HardwareAddr), Target: mac1, Gateway: netip.MustParseAddr(tt.near),
					Src: netip.MustParseAddr(tt.src), MTU: 1500,
				}
				for _, dst := range []string{tt.near, tt.far} {
					if got := l.target(dst, mac1); got != want {
						t.Errorf("%s: got %+v, want %+v", dst, got, want)
					}
				}
			})
		})
	}
}

func TestReasons(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		l.check(netlink.RouteAdd(&netlink.Route{Dst: prefix("10.1.0.0/16"), Type: unix.RTN_PROHIBIT}))
		l.check(netlink.RouteAdd(&netlink.Route{Dst: prefix("10.2.0.0/16"), Type: unix.RTN_BLACKHOLE}))
		for dst, want := range map[string]nexthop.Reason{
			"192.0.2.9":       nexthop.Unresolved,
			"192.0.2.1":       nexthop.OtherInterface,
			"198.51.100.1":    nexthop.OtherInterface,
			"198.51.100.2":    nexthop.OtherInterface,
			"127.0.0.1":       nexthop.OtherInterface,
			"2001:db8:1::2":   nexthop.OtherInterface,
			"10.1.0.1":        nexthop.Unreachable,
			"10.2.0.1":        nexthop.Unreachable,
			"10.3.0.1":        nexthop.Unreachable,
			"2001:db8:ff::1":  nexthop.Unreachable,
			"192.0.2.255":     nexthop.NotUnicast,
			"255.255.255.255": nexthop.NotUnicast,
			"224.0.0.1":       nexthop.NotUnicast,
			"ff02::1":         nexthop.NotUnicast,
			"0.0.0.0":         nexthop.NotUnicast,
		} {
			l.reason(dst, want)
		}
	})
}

// A neighbour that is deleted, fails or moves is not used any more; one that is
// found is.
func TestNeighbourChanges(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		const dst = "192.0.2.2"
		l.reason(dst, nexthop.Unresolved)
		for _, state := range []int{netlink.NUD_REACHABLE, netlink.NUD_STALE, netlink.NUD_PERMANENT} {
			l.neighbour(dst, mac1, state)
			l.target(dst, mac1)
			l.neighbour(dst, mac2, state)
			l.target(dst, mac2)
			l.check(netlink.NeighDel(neigh(l.eth0, dst, mac2, 0)))
			l.reason(dst, nexthop.Unresolved)
		}
		l.neighbour(dst, mac1, netlink.NUD_PERMANENT)
		l.target(dst, mac1)
		l.neighbour(dst, mac1, netlink.NUD_FAILED)
		l.reason(dst, nexthop.Unresolved)
	})
}

// Routes, links and addresses that change are followed.
func TestRouteChanges(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		const dst, network = "203.0.113.9", "203.0.113.0/24"
		l.neighbour("192.0.2.2", mac1, netlink.NUD_PERMANENT)
		l.neighbour("192.0.2.3", mac2, netlink.NUD_PERMANENT)
		l.reason(dst, nexthop.Unreachable)
		l.route(network, "192.0.2.2", l.eth0)
		l.target(dst, mac1)
		l.route(network, "192.0.2.3", l.eth0)
		l.target(dst, mac2)
		l.route(network, "198.51.100.2", l.eth1)
		l.reason(dst, nexthop.OtherInterface)
		l.route(network, "192.0.2.2", l.eth0)
		l.target(dst, mac1)
		l.check(netlink.LinkSetDown(l.eth0))
		l.reason(dst, nexthop.NotPlain)
		l.check(netlink.LinkSetUp(l.eth0))
		l.neighbour("192.0.2.2", mac1, netlink.NUD_PERMANENT)
		l.route(network, "192.0.2.2", l.eth0)
		l.target(dst, mac1)
		l.check(netlink.LinkSetMTU(l.eth0, 1400))
		l.lookup(dst, none, "MTU 1400", func(h nexthop.Hop, _ nexthop.Reason) bool { return h.MTU == 1400 })
		l.check(netlink.LinkDel(l.eth0))
		l.reason(dst, nexthop.NotPlain)
	})
}

// The source that was asked with stays; one that the host loses is no source.
func TestSource(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		const dst = "192.0.2.2"
		second := netip.MustParseAddr("192.0.2.77")
		addr := &netlink.Addr{IPNet: prefix("192.0.2.77/24")}
		l.neighbour(dst, mac1, netlink.NUD_PERMANENT)
		from := func(want string, good func(nexthop.Hop, nexthop.Reason) bool) {
			t.Helper()
			l.lookup(dst, second, want, good)
		}
		refused := func(_ nexthop.Hop, r nexthop.Reason) bool { return r == nexthop.Unreachable }
		from("unreachable", refused)
		l.check(netlink.AddrAdd(l.eth0, addr))
		from("source", func(h nexthop.Hop, r nexthop.Reason) bool { return r == nexthop.OK && h.Src == second })
		l.check(netlink.AddrDel(l.eth0, addr))
		from("unreachable again", refused)
	})
}

// Of several paths one is taken.
func TestMultipath(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		paths := []*netlink.NexthopInfo{
			{LinkIndex: l.eth0.Attrs().Index, Gw: net.ParseIP("192.0.2.2")},
			{LinkIndex: l.eth0.Attrs().Index, Gw: net.ParseIP("192.0.2.3")},
		}
		l.check(netlink.RouteAdd(&netlink.Route{Dst: prefix("203.0.113.0/24"), MultiPath: paths}))
		l.neighbour("192.0.2.2", mac1, netlink.NUD_PERMANENT)
		l.neighbour("192.0.2.3", mac2, netlink.NUD_PERMANENT)
		h := l.reason("203.0.113.9", nexthop.OK)
		if h.Target != mac1 && h.Target != mac2 {
			t.Errorf("got %+v", h)
		}
	})
}

func TestOpenErrors(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	testutil.NewNS(t).Run(func() {
		if _, err := nexthop.Open(12345, nil); err == nil {
			t.Error("opened an interface that does not exist")
		}
		table, err := nexthop.Open(1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		if err := table.Close(); err == nil {
			t.Error("closed twice")
		}
		if _, r := table.Lookup(netip.MustParseAddr("192.0.2.1"), none); r != nexthop.Closed {
			t.Errorf("got %v, want %v", r, nexthop.Closed)
		}
	})
}
