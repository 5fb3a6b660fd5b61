// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Messages as long as they get pass a device whole: the kernel must not cut them in
// front of it. A veth pair hands over what it is given.
func TestDeviceTakesFullMessages(t *testing.T) {
	testutil.NeedNetNS(t)
	far := testutil.NewNS(t)
	for _, tt := range []struct{ network, near, far string }{
		{"udp4", "192.0.2.1/24", "192.0.2.2/24"},
		{"udp6", "2001:db8::1/64", "2001:db8::2/64"},
	} {
		t.Run(tt.network, func(t *testing.T) {
			inNS(t, func(netlink.Link) {
				vethTo(t, far, tt.near, tt.far)
				from := listenAny(t, tt.network)
				var to *batching.Conn
				far.Run(func() { to = listenAny(t, tt.network) })
				remote := netip.AddrPortFrom(netip.MustParsePrefix(tt.far).Addr(), to.LocalAddr().Port())
				dst := batching.NewDestination(remote, netip.Addr{}, 0)
				// All lengths of which a few more packets would be too long.
				for size := 1024; size <= 1452; size++ {
					most := min(64, 65535/size)
					bufs, want := batch(slices.Repeat([]int{size}, most)...)
					before := to.Stats().Rx
					if n, err := from.WriteBatch(bufs, headroom, dst, 0); n != len(bufs) || err != nil {
						t.Fatalf("%d packets of %d bytes: got %d, %v", len(bufs), size, n, err)
					}
					read(t, to, len(want))
					if m := to.Stats().Rx.Messages - before.Messages; m > 2 {
						t.Fatalf("%d packets of %d bytes arrive as %d messages, want 2 at most", most, size, m)
					}
				}
			})
		})
	}
}

// listenAny opens a socket on all addresses of the current namespace.
func listenAny(t *testing.T, network string) *batching.Conn {
	t.Helper()
	c, err := batching.Listen(network, netip.AddrPort{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// vethTo connects the current namespace with another one.
func vethTo(t *testing.T, far *testutil.NS, nearPrefix, farPrefix string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "near"
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far", PeerNamespace: netlink.NsFd(far.File().Fd())})
	if err != nil {
		t.Fatal(err)
	}
	up := func(name, prefix string) func() {
		return func() {
			link, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.AddrAdd(link, &netlink.Addr{IPNet: mustPrefix(prefix), Flags: unix.IFA_F_NODAD})
			}
			if err == nil {
				err = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("0"), 0)
			}
			if err == nil {
				err = netlink.LinkSetUp(link)
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	far.Run(up("far", farPrefix))
	up("near", nearPrefix)()
	t.Cleanup(func() { // the namespace goes on with the next one
		far.Run(func() {
			if link, err := netlink.LinkByName("far"); err == nil {
				netlink.LinkDel(link)
			}
		})
	})
}
