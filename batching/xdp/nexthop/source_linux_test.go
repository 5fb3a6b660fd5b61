// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// from waits until lookups of dst from src give want.
func (l *lab) from(dst, src string, want nexthop.Reason) {
	l.t.Helper()
	a := netip.MustParseAddr(src)
	what := fmt.Sprintf("%v from %s", want, src)
	l.lookup(dst, a, what, func(h nexthop.Hop, r nexthop.Reason) bool {
		return r == want && (r != nexthop.OK || h.Src == a)
	})
}

// A source is an address of the host, also of another interface; one that the
// host loses is none.
func TestSource(t *testing.T) {
	for _, tt := range []struct {
		name, dst, second, elsewhere string
		foreign                      []string
	}{
		{
			"v4", "192.0.2.2", "192.0.2.77", "198.51.100.1",
			[]string{"203.0.113.7", "127.0.0.1", "2001:db8::1"},
		},
		{
			"v6", "2001:db8::2", "2001:db8::77", "2001:db8:1::1",
			[]string{"2001:db8:f::7", "::1", "192.0.2.1", "fe80::77"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, nil, func(l *lab) {
				l.neighbour(tt.dst, mac1, netlink.NUD_PERMANENT)
				bits := netip.MustParseAddr(tt.second).BitLen()
				addr := &netlink.Addr{IPNet: prefix(fmt.Sprintf("%s/%d", tt.second, bits)), Flags: unix.IFA_F_NODAD}
				l.from(tt.dst, tt.second, nexthop.NoSource)
				l.check(netlink.AddrAdd(l.eth0, addr))
				l.from(tt.dst, tt.second, nexthop.OK)
				l.check(netlink.AddrDel(l.eth0, addr))
				l.from(tt.dst, tt.second, nexthop.NoSource)
				l.from(tt.dst, tt.elsewhere, nexthop.OK)
				for _, src := range tt.foreign {
					l.from(tt.dst, src, nexthop.NoSource)
				}
			})
		})
	}
}

// A link-local source is that of the interface itself.
func TestLinkLocalSource(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		const dst = "fe80::2"
		l.neighbour(dst, mac1, netlink.NUD_PERMANENT)
		for link, a := range map[netlink.Link]string{l.eth0: "fe80::10/64", l.eth1: "fe80::11/64"} {
			l.check(netlink.AddrAdd(link, &netlink.Addr{IPNet: prefix(a), Flags: unix.IFA_F_NODAD}))
		}
		l.from(dst, "fe80::10", nexthop.OK)
		l.from(dst, "fe80::11", nexthop.NoSource)
	})
}

// An IPv6 address is no source before duplicate address detection has passed it,
// and not when it has failed.
func TestDuplicateAddress(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		const dst, checked, taken = "2001:db8::2", "2001:db8::77", "2001:db8::78"
		l.neighbour(dst, mac1, netlink.NUD_PERMANENT)
		flags := func(ip string) int {
			t.Helper()
			list, err := netlink.AddrList(l.eth0, netlink.FAMILY_V6)
			l.check(err)
			for _, a := range list {
				if a.IP.String() == ip {
					return a.Flags
				}
			}
			return 0
		}
		l.sysctl("ipv6/conf/eth0/accept_dad", "1")
		l.farAddr(taken + "/64")
		l.check(netlink.AddrAdd(l.eth0, &netlink.Addr{IPNet: prefix(taken + "/64")}))
		testutil.Eventually(t, waitLimit, "duplicate", func() error {
			if f := flags(taken); f&unix.IFA_F_DADFAILED == 0 {
				return fmt.Errorf("flags are %#x", f)
			}
			return nil
		})
		l.from(dst, taken, nexthop.NoSource)

		l.sysctl("ipv6/conf/eth0/dad_transmits", "600") // one each second
		l.check(netlink.AddrAdd(l.eth0, &netlink.Addr{IPNet: prefix(checked + "/64")}))
		l.from(dst, checked, nexthop.NoSource)
		if f := flags(checked); f&unix.IFA_F_TENTATIVE == 0 {
			t.Fatalf("flags are %#x: this shows nothing", f)
		}
		l.check(netlink.AddrDel(l.eth0, &netlink.Addr{IPNet: prefix(checked + "/64")}))
		l.check(netlink.AddrAdd(l.eth0, &netlink.Addr{IPNet: prefix(checked + "/64"), Flags: unix.IFA_F_NODAD}))
		l.from(dst, checked, nexthop.OK)
	})
}

// A host without an address has no source.
func TestNoSource(t *testing.T) {
	inLab(t, nil, func(l *lab) {
		l.check(netlink.LinkDel(l.eth1))
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			list, err := netlink.AddrList(l.eth0, family)
			l.check(err)
			for i := range list {
				l.check(netlink.AddrDel(l.eth0, &list[i]))
			}
		}
		for dst, network := range map[string]string{"203.0.113.9": "203.0.113.0/24", "2001:db8:9::9": "2001:db8:9::/48"} {
			r := &netlink.Route{Dst: prefix(network), LinkIndex: l.eth0.Attrs().Index, Scope: netlink.SCOPE_LINK}
			l.check(netlink.RouteAdd(r))
			l.neighbour(dst, mac1, netlink.NUD_PERMANENT)
			l.reason(dst, nexthop.NoSource)
		}
	})
}
