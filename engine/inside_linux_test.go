// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/vishvananda/netlink"
)

// What the host would route into the tunnel is inside, by its more specific routes and
// for as long as they are there.
func TestInside(t *testing.T) {
	h := newHost(t)
	h.ns.Run(func() {
		tunnel := veth(t, "tunnel", "10.66.0.1/16")
		veth(t, "lan", "10.66.7.1/24")
		in := engine.NewInside(tunnel)
		want := func(addr string, inside bool) {
			t.Helper()
			if got := in.LeadsTo(netip.MustParseAddr(addr)); got != inside {
				t.Errorf("%s is inside: %t, want %t", addr, got, inside)
			}
		}
		want("10.66.1.1", true)
		want("10.66.7.9", false) // of the LAN, although the tunnel has the network around it
		want("192.0.2.1", false) // nowhere

		_, dst, err := net.ParseCIDR("192.0.2.0/24")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: tunnel, Dst: dst}); err != nil {
			t.Fatal(err)
		}
		want("192.0.2.1", false) // as it was
		in.Forget(0)
		want("192.0.2.1", true)
	})
}

// veth makes an interface that is up and has an address, and returns its index.
func veth(t *testing.T, name, address string) int {
	t.Helper()
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-peer"}
	addr, err := netlink.ParseAddr(address)
	if err == nil {
		err = errors.Join(netlink.LinkAdd(link), netlink.AddrAdd(link, addr), netlink.LinkSetUp(link))
	}
	if err != nil {
		t.Fatal(err)
	}
	peer, err := netlink.LinkByName(name + "-peer")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(peer); err != nil {
		t.Fatal(err)
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}
