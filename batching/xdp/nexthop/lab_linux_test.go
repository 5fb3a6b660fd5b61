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
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A lab is a namespace with two Ethernet interfaces, eth0 and eth1, and the
// table of eth0. What they lead to is another namespace, which has interfaces of
// the same names, up and without addresses.
type lab struct {
	t          *testing.T
	far        *testutil.NS
	eth0, eth1 netlink.Link
	table      *nexthop.Table
}

var (
	none = netip.Addr{}
	mac1 = [6]byte{2, 0, 0, 0, 0, 1}
	mac2 = [6]byte{2, 0, 0, 0, 0, 2}
)

// inLab runs f in a new lab.
func inLab(t *testing.T, o *nexthop.Options, f func(l *lab)) {
	t.Helper()
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	far := testutil.NewNS(t)
	testutil.NewNS(t).Run(func() {
		l := &lab{t: t, far: far}
		// Addresses are ready at once, and no message comes when they are.
		l.sysctl("ipv6/conf/default/accept_dad", "0")
		l.eth0 = l.veth("eth0", far, "192.0.2.1/24", "2001:db8::1/64")
		l.eth1 = l.veth("eth1", far, "198.51.100.1/24", "2001:db8:1::1/64")
		var err error
		if l.table, err = nexthop.Open(l.eth0.Attrs().Index, o); err != nil {
			t.Fatal(err)
		}
		defer l.table.Close()
		f(l)
	})
}

func (l *lab) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// prefix returns s with its host bits.
func prefix(s string) *net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return &net.IPNet{IP: ip, Mask: n.Mask}
}

// veth makes an interface, up, with addresses.
func (l *lab) veth(name string, far *testutil.NS, prefixes ...string) netlink.Link {
	l.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	peer := netlink.NsFd(far.File().Fd())
	l.check(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: peer}))
	link, err := netlink.LinkByName(name)
	l.check(err)
	for _, p := range prefixes {
		l.check(netlink.AddrAdd(link, &netlink.Addr{IPNet: prefix(p), Flags: unix.IFA_F_NODAD}))
	}
	l.check(netlink.LinkSetUp(link))
	far.Run(func() {
		link, err := netlink.LinkByName(name)
		l.check(err)
		l.check(netlink.LinkSetUp(link))
	})
	return link
}

func neigh(link netlink.Link, ip string, mac [6]byte, state int) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: link.Attrs().Index, IP: net.ParseIP(ip), HardwareAddr: mac[:], State: state}
}

// sysctl sets a setting of the namespace that the calling thread is in.
func (l *lab) sysctl(name, value string) {
	l.t.Helper()
	l.check(os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644))
}

// farAddr gives the far eth0 an address, and returns its Ethernet address.
func (l *lab) farAddr(prefixes ...string) (mac [6]byte) {
	l.t.Helper()
	l.far.Run(func() {
		link, err := netlink.LinkByName("eth0")
		l.check(err)
		for _, p := range prefixes {
			l.check(netlink.AddrReplace(link, &netlink.Addr{IPNet: prefix(p), Flags: unix.IFA_F_NODAD}))
		}
		mac = [6]byte(link.Attrs().HardwareAddr)
	})
	return mac
}

// send sends a datagram by way of the kernel.
func (l *lab) send(dst string, size int) {
	l.t.Helper()
	c, err := net.Dial("udp", net.JoinHostPort(dst, "9"))
	l.check(err)
	defer c.Close()
	_, _ = c.Write(make([]byte, size)) // the far end may refuse
}

// neighbour sets a neighbour of eth0.
func (l *lab) neighbour(ip string, mac [6]byte, state int) {
	l.t.Helper()
	l.check(netlink.NeighSet(neigh(l.eth0, ip, mac, state)))
}

// route sets the route to dst by way of gw and link.
func (l *lab) route(dst, gw string, link netlink.Link) {
	l.t.Helper()
	r := &netlink.Route{Dst: prefix(dst), Gw: net.ParseIP(gw)}
	if link != nil {
		r.LinkIndex = link.Attrs().Index
	}
	l.check(netlink.RouteReplace(r))
}

// reason waits until lookups of dst give want.
func (l *lab) reason(dst string, want nexthop.Reason) nexthop.Hop {
	l.t.Helper()
	return l.lookup(dst, none, want.String(), func(_ nexthop.Hop, r nexthop.Reason) bool { return r == want })
}

// target waits until lookups of dst give the Ethernet address mac.
func (l *lab) target(dst string, mac [6]byte) nexthop.Hop {
	l.t.Helper()
	return l.lookup(dst, none, fmt.Sprintf("%x", mac), func(h nexthop.Hop, r nexthop.Reason) bool {
		return r == nexthop.OK && h.Target == mac
	})
}

func (l *lab) lookup(dst string, src netip.Addr, want string, good func(nexthop.Hop, nexthop.Reason) bool) nexthop.Hop {
	l.t.Helper()
	var hop nexthop.Hop
	testutil.Eventually(l.t, 20*time.Second, want+" for "+dst, func() error {
		var r nexthop.Reason
		if hop, r = l.table.Lookup(netip.MustParseAddr(dst), src); !good(hop, r) {
			return fmt.Errorf("got %+v, %v", hop, r)
		}
		return nil
	})
	return hop
}
