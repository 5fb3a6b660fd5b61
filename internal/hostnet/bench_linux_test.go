// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// A hub with ten thousand peers of one address each comes up and goes down; and
// is reloaded with one peer more.
func BenchmarkManyRoutes(b *testing.B) {
	testutil.NeedNetNS(b)
	ns := testutil.NewNS(b)
	o := &hostnet.Options{Interface: "wg0", Addresses: prefixes("10.0.0.1/32")}
	a := netip.MustParseAddr("10.1.0.0")
	for range 10000 {
		o.AllowedIPs = append(o.AllowedIPs, netip.PrefixFrom(a, 32))
		a = a.Next()
	}
	more := *o
	more.AllowedIPs = append(more.AllowedIPs, netip.PrefixFrom(a, 32))
	ns.Run(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "wg0"
		tun := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN, Flags: netlink.TUNTAP_DEFAULTS, Queues: 1, NonPersist: true}
		if err := netlink.LinkAdd(tun); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { tun.Fds[0].Close() })
	})
	up := func(b *testing.B) (s *hostnet.State) {
		ns.Run(func() {
			var err error
			if s, err = hostnet.Up(b.Context(), o); err != nil {
				b.Fatal(err)
			}
		})
		return s
	}
	b.Run("up-down", func(b *testing.B) {
		for b.Loop() {
			if err := up(b).Down(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("update", func(b *testing.B) {
		s := up(b)
		for b.Loop() {
			for _, n := range []*hostnet.Options{&more, o} {
				if err := s.Update(b.Context(), n); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := s.Down(b.Context()); err != nil {
			b.Fatal(err)
		}
	})
}
