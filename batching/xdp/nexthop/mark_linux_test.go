// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop_test

import (
	"net"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var byFamily = []struct {
	name, dst, gw0, gw1, all string
	family                   int
}{
	{"v4", "203.0.113.9", "192.0.2.2", "198.51.100.2", "0.0.0.0/0", unix.AF_INET},
	{"v6", "2001:db8:9::9", "2001:db8::2", "2001:db8:1::2", "::/0", unix.AF_INET6},
}

// rule makes a rule for marked packets, or for all others.
func (l *lab) rule(family int, mark uint32, not bool, table int) {
	l.t.Helper()
	r := netlink.NewRule()
	r.Family, r.Mark, r.Invert, r.Table, r.Priority = family, mark, not, table, 100
	l.check(netlink.RuleAdd(r))
}

func (l *lab) defaultRoute(all, gw string, link netlink.Link, table int) {
	l.t.Helper()
	l.check(netlink.RouteAdd(&netlink.Route{Dst: prefix(all), Gw: net.ParseIP(gw), LinkIndex: link.Attrs().Index, Table: table}))
}

// Marked packets have a table of their own, and the mark may change.
func TestMark(t *testing.T) {
	const mark, table = 0x51, 51
	for _, tt := range byFamily {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, &nexthop.Options{Refresh: time.Hour}, func(l *lab) {
				l.neighbour(tt.gw0, mac1, netlink.NUD_PERMANENT)
				l.rule(tt.family, mark, false, table)
				l.defaultRoute(tt.all, tt.gw0, l.eth0, table)
				l.defaultRoute(tt.all, tt.gw1, l.eth1, unix.RT_TABLE_MAIN)
				l.reason(tt.dst, nexthop.OtherInterface)
				l.table.SetMark(mark)
				if n := l.table.Len(); n != 0 {
					t.Errorf("%d answers for another mark are kept", n)
				}
				l.target(tt.dst, mac1)
				l.table.SetMark(mark)
				if n := l.table.Len(); n == 0 {
					t.Error("the same mark makes the table forget")
				}
				l.table.SetMark(0)
				l.reason(tt.dst, nexthop.OtherInterface)
			})
		})
	}
}

// The default route leads into a tunnel, but for the packets of the tunnel,
// which are marked: what wg-quick(8) does.
func TestMarkOfTunnel(t *testing.T) {
	const mark = 51820
	for _, tt := range byFamily {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, &nexthop.Options{Mark: mark, Refresh: time.Hour}, func(l *lab) {
				l.neighbour(tt.gw0, mac1, netlink.NUD_PERMANENT)
				l.rule(tt.family, mark, true, mark)
				l.defaultRoute(tt.all, tt.gw1, l.eth1, mark)
				l.defaultRoute(tt.all, tt.gw0, l.eth0, unix.RT_TABLE_MAIN)
				l.target(tt.dst, mac1)
				l.table.SetMark(0)
				l.reason(tt.dst, nexthop.OtherInterface)
			})
		})
	}
}
