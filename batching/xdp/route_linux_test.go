// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// The prefixes of the second pair.
var (
	second4 = netip.MustParsePrefix("198.51.100.1/24")
	second6 = netip.MustParsePrefix("2001:db8:2::1/64")
)

// routeChanged leads packets to far over a second pair of interfaces, and back.
func routeChanged(t *testing.T, l *lab, tr *traffic) {
	var near1, far1 netlink.Link
	l.near.Run(func() {
		must(t, netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth1"}, PeerName: "far1", PeerNamespace: netlink.NsFd(l.far.File().Fd()),
		}))
		near1 = up(t, "eth1", second4.Addr(), second6.Addr())
	})
	l.far.Run(func() {
		for _, name := range []string{"all", "far1"} { // near's address is not behind this one
			must(t, os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/rp_filter", []byte("0"), 0))
		}
		far1 = up(t, "far1")
	})
	// Until the kernel has seen both ends come up it drops what is sent there.
	l.near.Run(func() { running(t, "eth1") })
	l.far.Run(func() { running(t, "far1") })
	l.near.Run(func() {
		know(t, near1, far1, tr.far) // IPv6 does not answer for addresses of other interfaces
	})
	route := &netlink.Route{
		LinkIndex: near1.Attrs().Index, Src: tr.near.AsSlice(),
		Dst: &net.IPNet{IP: tr.far.AsSlice(), Mask: net.CIDRMask(tr.far.BitLen(), tr.far.BitLen())},
	}
	other := func() uint64 { return l.under.Status().Kernel["other_interface"] }
	for range 2 {
		before := other()
		l.near.Run(func() { must(t, netlink.RouteAdd(route)) })
		testutil.Eventually(t, 20*time.Second, "packets over the other interface", func() error {
			if n := other(); n < before+some {
				return fmt.Errorf("%v", l.under.Status().Kernel)
			}
			return nil
		})
		tr.flows(t)
		l.near.Run(func() { must(t, netlink.RouteDel(route)) })
		tr.flows(t)
		tr.past(t)
	}
	tr.complete(t)
	tr.frames.only(t, macOf(l.farLink), macOf(far1))
}

// running waits until an interface of the calling thread's namespace can send.
func running(t *testing.T, name string) {
	t.Helper()
	testutil.Eventually(t, 20*time.Second, name+" up", func() error {
		link, err := netlink.LinkByName(name)
		if err == nil && link.Attrs().OperState != netlink.OperUp {
			err = fmt.Errorf("state %v", link.Attrs().OperState)
		}
		return err
	})
}
