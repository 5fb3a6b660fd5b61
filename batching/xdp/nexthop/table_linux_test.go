// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

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
					Src: netip.MustParseAddr(tt.src), MTU: 1500, TTL: 64,
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

// The neighbour is deleted under use: after that is known, its address is not
// given again until the kernel has found it again, which comes by itself when
// the kernel has something to send. That may be another one.
func TestNeighbourReturns(t *testing.T) {
	for _, tt := range []struct{ name, near, prefix string }{
		{"v4", "192.0.2.2", "192.0.2.2/24"}, {"v6", "2001:db8::2", "2001:db8::2/64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, &nexthop.Options{Refresh: time.Hour}, func(l *lab) {
				l.neighbour(tt.near, mac1, netlink.NUD_REACHABLE)
				l.target(tt.near, mac1)
				l.check(netlink.NeighDel(neigh(l.eth0, tt.near, mac1, 0)))
				l.reason(tt.near, nexthop.Unresolved)
				dst := netip.MustParseAddr(tt.near)
				for range 100 {
					if h, r := l.table.Lookup(dst, none); r != nexthop.Unresolved {
						t.Fatalf("got %+v, %v", h, r)
					}
				}
				mac := l.farAddr(tt.prefix)
				l.send(tt.near, 1)
				l.target(tt.near, mac)
			})
		})
	}
}

// A VLAN device and the like are Ethernet too.
func TestMacvlan(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = "upper", l.eth0.Attrs().Index
		link := &netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}
		if err := netlink.LinkAdd(link); errors.Is(err, unix.EOPNOTSUPP) {
			testutil.Missing(t, "macvlan in the kernel")
		} else {
			l.check(err)
		}
		l.check(netlink.LinkSetUp(link))
		l.check(netlink.AddrAdd(link, &netlink.Addr{IPNet: prefix("10.9.0.1/24")}))
		l.check(netlink.NeighSet(neigh(link, "10.9.0.2", mac2, netlink.NUD_PERMANENT)))
		l.reason("10.9.0.2", nexthop.OtherInterface)
		upper, err := nexthop.Open(link.Attrs().Index, nil)
		l.check(err)
		defer upper.Close()
		l.table, upper = upper, l.table // and back for the lab to close
		h := l.target("10.9.0.2", mac2)
		l.table, upper = upper, l.table
		now, err := netlink.LinkByName("upper")
		l.check(err)
		if h.Source != [6]byte(now.Attrs().HardwareAddr) || h.Source == [6]byte(l.eth0.Attrs().HardwareAddr) {
			t.Errorf("got %+v", h)
		}
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

// The gateway of an IPv4 route may have an IPv6 address (RFC 8950).
func TestGatewayOfOtherFamily(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		l.neighbour("2001:db8::2", mac2, netlink.NUD_PERMANENT)
		via := &netlink.Via{AddrFamily: unix.AF_INET6, Addr: net.ParseIP("2001:db8::2")}
		l.check(netlink.RouteAdd(&netlink.Route{Dst: prefix("203.0.113.0/24"), Via: via, LinkIndex: l.eth0.Attrs().Index}))
		h := l.target("203.0.113.9", mac2)
		if h.Gateway != netip.MustParseAddr("2001:db8::2") || h.Src != netip.MustParseAddr("192.0.2.1") {
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
