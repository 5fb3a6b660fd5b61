// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestFurnish: a namespace with nothing in it becomes one with the tunnel.
func TestFurnish(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "ip")
	testutil.LeakCheck(t)
	h := &host{NS: testutil.NewNS(t), t: t}
	h.sh("ip link set lo down")
	h.addTUN("wg0")
	defer h.closeTUN()
	h.Run(func() {
		err := hostnet.Furnish(t.Context(), &hostnet.Options{
			Logger: testutil.Logger(t), Interface: "wg0", MTU: 1380, TxQueueLen: 700,
			Addresses:  prefixes("10.9.0.2/24", "fd09::2/64"),
			AllowedIPs: prefixes("0.0.0.0/0", "::/0", "10.9.0.0/24", "10.9.0.0/16", "10.1.0.0/16", "fd01::/64"),
			// Not for a namespace, in which nobody would take it back.
			DNS: []netip.Addr{netip.MustParseAddr("10.9.0.1")}, FwMark: 7,
			PreUp: []string{"false"}, PostUp: []string{"false"},
		})
		if err != nil {
			t.Fatal(err)
		}
		group, err := os.ReadFile("/proc/sys/net/ipv4/ping_group_range")
		if err != nil || strings.Join(strings.Fields(string(group)), " ") != "0 0" {
			t.Errorf("groups that may ping: %q, %v", group, err)
		}
		link, err := netlink.LinkByName("wg0")
		if err != nil {
			t.Fatal(err)
		}
		if a := link.Attrs(); a.MTU != 1380 || a.TxQLen != 700 {
			t.Errorf("MTU %d, queues of %d packets, want 1380 and 700", a.MTU, a.TxQLen)
		}
	})
	got := h.sh("ip -4 route show | sort; ip -6 route show dev wg0 | grep -v '^fe80' | sort; ip rule | wc -l; ip -o link show lo | grep -o LOOPBACK,UP")
	want := `10.1.0.0/16 dev wg0 scope link 
10.9.0.0/16 dev wg0 scope link 
10.9.0.0/24 dev wg0 proto kernel scope link src 10.9.0.2 
default dev wg0 scope link 
default metric 1024 pref medium
fd01::/64 metric 1024 pref medium
fd09::/64 proto kernel metric 256 pref medium
3
LOOPBACK,UP
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestFurnishWithout: an interface that is not there.
func TestFurnishWithout(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	testutil.NewNS(t).Run(func() {
		if err := hostnet.Furnish(t.Context(), &hostnet.Options{Interface: "wg0"}); err == nil {
			t.Error("no error")
		}
	})
	if err := hostnet.Furnish(t.Context(), &hostnet.Options{}); err == nil {
		t.Error("no error without a name")
	}
}

// TestRoutedMTU: what Up would set, for an interface elsewhere.
func TestRoutedMTU(t *testing.T) {
	h := newHost(t)
	h.sh("ip route add 198.51.100.0/24 via 192.0.2.1 mtu 1300")
	h.Run(func() {
		for _, tt := range []struct {
			endpoints []netip.Addr
			want      int
		}{
			{nil, 1420},
			{[]netip.Addr{netip.MustParseAddr("192.0.2.7")}, 1420},
			{[]netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.7")}, 1220},
		} {
			if got := hostnet.RoutedMTU(tt.endpoints, 0); got != tt.want {
				t.Errorf("RoutedMTU(%v): %d, want %d", tt.endpoints, got, tt.want)
			}
		}
	})
}

func TestResolvConf(t *testing.T) {
	servers := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
	if got, want := hostnet.ResolvConf(servers, []string{"a.test", "b.test"}), "nameserver 10.0.0.1\nnameserver fd00::1\nsearch a.test b.test\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
