// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// waitLimit is for what comes at once.
const waitLimit = 20 * time.Second

// sentTTL sends a datagram by way of the kernel to dst, which the far end has,
// and returns the TTL that it arrives with.
func (l *lab) sentTTL(dst string) (ttl uint8) {
	l.t.Helper()
	var c net.PacketConn
	l.far.Run(func() {
		var err error
		c, err = net.ListenPacket("udp", net.JoinHostPort(dst, "9"))
		l.check(err)
	})
	defer c.Close()
	var read func() (int, error)
	b := make([]byte, 8)
	if netip.MustParseAddr(dst).Is4() {
		p := ipv4.NewPacketConn(c)
		l.check(p.SetControlMessage(ipv4.FlagTTL, true))
		read = func() (int, error) {
			_, cm, _, err := p.ReadFrom(b)
			if err != nil {
				return 0, err
			}
			return cm.TTL, nil
		}
	} else {
		p := ipv6.NewPacketConn(c)
		l.check(p.SetControlMessage(ipv6.FlagHopLimit, true))
		read = func() (int, error) {
			_, cm, _, err := p.ReadFrom(b)
			if err != nil {
				return 0, err
			}
			return cm.HopLimit, nil
		}
	}
	l.check(c.SetReadDeadline(time.Now().Add(waitLimit)))
	l.send(dst, 1)
	n, err := read()
	l.check(err)
	return uint8(n)
}

// The TTL is the kernel's: that of the route, else the setting of the namespace
// or the interface, whichever threads the table runs on.
func TestTTL(t *testing.T) {
	for _, tt := range []struct{ name, near, network, host, setting string }{
		{"v4", "192.0.2.2", "192.0.2.2/24", "192.0.2.2/32", "ipv4/ip_default_ttl"},
		{"v6", "2001:db8::2", "2001:db8::2/64", "2001:db8::2/128", "ipv6/conf/eth0/hop_limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, &nexthop.Options{Refresh: 50 * time.Millisecond}, func(l *lab) {
				l.farAddr(tt.network)
				same := func(want uint8) {
					t.Helper()
					if got := l.sentTTL(tt.near); got != want {
						t.Fatalf("the kernel sends %d, not %d: this shows nothing", got, want)
					}
					l.lookup(tt.near, none, fmt.Sprintf("TTL %d", want), func(h nexthop.Hop, r nexthop.Reason) bool {
						return r == nexthop.OK && h.TTL == want
					})
				}
				same(64)
				l.sysctl(tt.setting, "99")
				same(99)
				l.check(netlink.RouteReplace(&netlink.Route{
					Dst: prefix(tt.host), LinkIndex: l.eth0.Attrs().Index, Scope: netlink.SCOPE_LINK, Hoplimit: 33,
				}))
				same(33)
			})
		})
	}
}

// The MTU of IPv6 may be smaller than that of the interface, for all networks or
// for one.
func TestMTU(t *testing.T) {
	inLab(t, &nexthop.Options{Refresh: 50 * time.Millisecond}, func(l *lab) {
		mtu := func(dst string, want int) {
			t.Helper()
			l.lookup(dst, none, fmt.Sprintf("MTU %d", want), func(h nexthop.Hop, r nexthop.Reason) bool {
				return r == nexthop.OK && h.MTU == want
			})
		}
		l.neighbour("192.0.2.2", mac1, netlink.NUD_PERMANENT)
		l.neighbour("2001:db8::2", mac1, netlink.NUD_PERMANENT)
		l.sysctl("ipv6/conf/eth0/mtu", "1300")
		mtu("2001:db8::2", 1300)
		mtu("192.0.2.2", 1500)
		r := &netlink.Route{Dst: prefix("203.0.113.0/24"), Gw: net.ParseIP("192.0.2.2"), MTU: 1400}
		l.check(netlink.RouteAdd(r))
		mtu("203.0.113.9", 1400)
	})
}

// The path MTU that a router on the way reports by ICMP is taken over at the next
// refresh.
func TestPathMTU(t *testing.T) {
	for _, tt := range []struct{ name, near, dst, network, forward string }{
		{"v4", "192.0.2.2/24", "203.0.113.9", "203.0.113.0/24", "ipv4/ip_forward"},
		{"v6", "2001:db8::2/64", "2001:db8:9::9", "2001:db8:9::/48", "ipv6/conf/all/forwarding"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, &nexthop.Options{Refresh: 50 * time.Millisecond}, func(l *lab) {
				mac := l.farAddr(tt.near)
				near := netip.MustParsePrefix(tt.near).Addr().String()
				l.far.Run(func() {
					l.sysctl(tt.forward, "1")
					link, err := netlink.LinkByName("eth1")
					l.check(err)
					r := &netlink.Route{Dst: prefix(tt.network), LinkIndex: link.Attrs().Index, MTU: 1320}
					l.check(netlink.RouteAdd(r))
				})
				l.route(tt.network, near, l.eth0)
				l.send(tt.dst, 1)
				if h := l.target(tt.dst, mac); h.MTU != 1500 {
					t.Fatalf("got %+v", h)
				}
				l.sendWhole(tt.dst, 1400)
				l.lookup(tt.dst, none, "MTU 1320", func(h nexthop.Hop, r nexthop.Reason) bool {
					return r == nexthop.OK && h.MTU == 1320
				})
			})
		})
	}
}

// sendWhole sends a datagram with DF by way of the kernel.
func (l *lab) sendWhole(dst string, size int) {
	l.t.Helper()
	a := netip.MustParseAddr(dst)
	family, level, option := unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
	var to unix.Sockaddr = &unix.SockaddrInet6{Port: 9, Addr: a.As16()}
	if a.Is4() {
		family, level, option = unix.AF_INET, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER
		to = &unix.SockaddrInet4{Port: 9, Addr: a.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	l.check(err)
	defer unix.Close(fd)
	l.check(unix.SetsockoptInt(fd, level, option, unix.IP_PMTUDISC_DO))
	l.check(os.NewSyscallError("sendto", unix.Sendto(fd, make([]byte, size), 0, to)))
}
