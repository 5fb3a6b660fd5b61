// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/tunrouter/tunrouter/internal/hostnet"
)

func TestLookAround(t *testing.T) {
	h := newHost(t)
	look := func() (s *hostnet.Surroundings) {
		t.Helper()
		h.Run(func() {
			var err error
			if s, err = hostnet.LookAround("wg0"); err != nil {
				t.Fatal(err)
			}
		})
		return s
	}
	h.sh(`
ip link set lo up; ip link set wg0 up; ip link set eth0 up
ip address add 10.0.0.1/24 dev wg0; ip address add fd00::1/64 dev wg0 nodad
ip address add 192.168.1.1/24 dev eth0; ip address add 10.0.0.128/32 dev eth0
ip route add 10.1.0.0/16 dev wg0
ip route add 10.1.5.0/24 dev eth0
ip route add 10.99.0.0/16 dev eth0 table 77
ip route add blackhole 10.98.0.0/16
ip route add 10.97.0.0/16 nexthop dev eth0 nexthop dev wg0
ip -6 route add fd05::/48 dev eth0`)
	s := look()
	prefix := netip.MustParsePrefix
	want := func(what string, list []netip.Prefix, present bool, prefixes ...string) {
		t.Helper()
		for _, p := range prefixes {
			if slices.Contains(list, prefix(p)) != present {
				t.Errorf("%s has %s: %t, want %t; %v", what, p, !present, present, list)
			}
		}
	}
	want("Local", s.Local, true, "10.0.0.1/32", "10.0.0.255/32", "192.168.1.1/32", "10.0.0.128/32", "127.0.0.0/8", "fd00::1/128", "::1/128")
	want("Networks", s.Networks, true, "192.168.1.0/24", "10.1.5.0/24", "10.99.0.0/16", "10.98.0.0/16", "fd05::/48")
	want("Networks", s.Networks, false, "10.0.0.0/24", "10.1.0.0/16", "10.97.0.0/16", "0.0.0.0/0", "fd00::/64")
	for _, p := range slices.Concat(s.Local, s.Networks) {
		if !p.IsValid() || p.Bits() == 0 {
			t.Errorf("%v is there", p)
		}
	}
	if !slices.Contains(s.Own, netip.MustParseAddr("10.0.0.1")) || !slices.Contains(s.Own, netip.MustParseAddr("fd00::1")) {
		t.Errorf("own addresses: %v", s.Own)
	}
	if s.Default4 || s.Default6 {
		t.Errorf("default routes to the interface: %t, %t", s.Default4, s.Default6)
	}
	h.sh("ip route add default dev wg0 table 51820; ip -6 route add default dev wg0 table 51820")
	if s = look(); !s.Default4 || !s.Default6 {
		t.Errorf("default routes to the interface: %t, %t", s.Default4, s.Default6)
	}
	h.Run(func() {
		if _, err := hostnet.LookAround("none0"); err == nil {
			t.Error("an interface that is not there was found")
		}
	})
}
