// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// BenchmarkScale models a hub: 1,000 neighbours on the link, 4 destinations
// behind each, 4,000 answers in all. One operation of Refresh is one entry
// refreshed, of New one destination that is asked for the first time while the
// others are kept.
func BenchmarkScale(b *testing.B) {
	const neighbours, behind = 1000, 4
	testutil.NeedNetNS(b)
	testutil.NewNS(b).Run(func() {
		check := func(err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		check(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far"}))
		link, err := netlink.LinkByName("eth0")
		check(err)
		check(netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 0, 255, 1), Mask: net.CIDRMask(16, 32)}}))
		check(netlink.LinkSetUp(link))
		var keys []key
		for i := range neighbours {
			near := number4(i)
			check(netlink.NeighSet(&netlink.Neigh{
				LinkIndex: link.Attrs().Index, IP: near.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)},
				State: netlink.NUD_PERMANENT,
			}))
			far := [4]byte{172, 16 + byte(i>>8), byte(i), 0}
			check(netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: far[:], Mask: net.CIDRMask(30, 32)}, Gw: near.AsSlice()}))
			for j := range behind {
				far[3] = byte(j)
				keys = append(keys, key{dst: netip.AddrFrom4(far)})
			}
		}
		table, err := Open(link.Attrs().Index, &Options{Refresh: time.Hour})
		check(err)
		defer table.Close()
		use := func() {
			for _, k := range keys {
				if h, r := table.Lookup(k.dst, k.src); r != OK {
					b.Fatalf("%v: got %+v, %v", k, h, r)
				}
			}
		}
		fill := func() {
			for _, k := range keys {
				table.renew(k, true)
			}
		}
		fill()
		b.Run("Refresh", func(b *testing.B) {
			for n := 0; n < b.N; n += len(keys) {
				use()
				table.refresh()
			}
		})
		b.Run("New", func(b *testing.B) {
			for n := 0; n < b.N; n += len(keys) {
				table.SetMark(uint32(n&1) + 1)
				fill()
			}
		})
		b.Run("Lookup", func(b *testing.B) {
			for n := 0; n < b.N; n += len(keys) {
				use()
			}
		})
	})
}
