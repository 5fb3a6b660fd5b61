// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inNS runs f in a new network namespace, with its loopback.
func inNS(t *testing.T, f func(lo netlink.Link)) {
	t.Helper()
	testutil.NeedNetNS(t)
	testutil.NewNS(t).Run(func() {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		f(lo)
	})
}

func mustPrefix(s string) *net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	n.IP = ip
	return n
}

// addLocal6 adds an IPv6 address. The kernel makes its route later.
func addLocal6(t *testing.T, link netlink.Link, prefix string) {
	t.Helper()
	addr := mustPrefix(prefix)
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: addr, Flags: unix.IFA_F_NODAD}); err != nil {
		t.Fatal(err)
	}
	host := &netlink.Route{Table: unix.RT_TABLE_LOCAL, Dst: &net.IPNet{IP: addr.IP, Mask: net.CIDRMask(128, 128)}}
	testutil.Eventually(t, 10*time.Second, "route to "+addr.IP.String(), func() error {
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, host, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST)
		if err == nil && len(routes) == 0 {
			err = errors.New("none")
		}
		return err
	})
}

// A path whose MTU is smaller than the packets refuses segmented messages. The
// packets arrive all the same, fragmented on the way.
func TestPathMTU(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		t.Run(network, func(t *testing.T) {
			inNS(t, func(lo netlink.Link) {
				if err := netlink.LinkSetMTU(lo, 1300); err != nil {
					t.Fatal(err)
				}
				from, to := listen(t, network, nil), listen(t, network, nil)
				dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
				bufs, want := batch(append(slices.Repeat([]int{1400}, 20), 300)...)
				for round := range uint64(2) {
					if n, err := from.WriteBatch(bufs, headroom, dst, 0); n != len(bufs) || err != nil {
						t.Fatalf("round %d: got %d, %v, want %d", round, n, err, len(bufs))
					}
					for i, r := range read(t, to, len(want)) {
						if r.data != want[i] {
							t.Fatalf("round %d: packet %d: got %d bytes, want %d; or they differ", round, i, len(r.data), len(want[i]))
						}
					}
					// EINVAL before Linux 6.14.
					f := from.Stats().Tx.Fallbacks
					if f["emsgsize"]+f["einval"] != 1 || f["eio"] != 0 {
						t.Errorf("round %d: fallbacks %v, want one in all", round, f)
					}
				}
				if dst.Segmented(time.Now()) {
					t.Error("the destination is not marked")
				}
				// Packets that fit are still segmented to a fresh destination.
				small, want := batch(slices.Repeat([]int{1000}, 20)...)
				before := from.Stats().Tx.Messages
				if n, err := from.WriteBatch(small, headroom, batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0), 0); n != len(small) || err != nil {
					t.Fatalf("got %d, %v", n, err)
				}
				read(t, to, len(want))
				if m := from.Stats().Tx.Messages - before; m != 1 {
					t.Errorf("packets that fit: %d messages, want 1", m)
				}
			})
		})
	}
}

// Link-local addresses keep their interface: in what is received, in the answer,
// and in the source of what is sent.
func TestLinkLocal(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			inNS(t, func(lo netlink.Link) {
				addLocal6(t, lo, "fe80::1/64")
				addLocal6(t, lo, "fe80::2/64")
				index := uint32(lo.Attrs().Index)
				server, err := batching.Listen("udp6", netip.AddrPort{}, &v.opts)
				if err != nil {
					t.Fatal(err)
				}
				defer server.Close()
				client, err := batching.Listen("udp6", netip.AddrPort{}, &v.opts)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				bufs, want := batch(100, 100, 50)
				port := server.LocalAddr().Port()
				one, two := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")
				for _, dst := range []*batching.Destination{
					batching.NewDestination(netip.AddrPortFrom(one.WithZone("lo"), port), two, 0),
					batching.NewDestination(netip.AddrPortFrom(one.WithZone("1"), port), two, 0),
					batching.NewDestination(netip.AddrPortFrom(one, port), two, index),
				} {
					if n, err := client.WriteBatch(bufs, headroom, dst, 0); n != len(bufs) || err != nil {
						t.Fatalf("write to %v: got %d, %v", dst.Remote(), n, err)
					}
					got := read(t, server, len(want))
					for i, r := range got {
						if r.data != want[i] || r.Remote.Addr() != two.WithZone("lo") || r.Local != one || r.IfIndex != index {
							t.Errorf("packet %d: from %v to %v on interface %d", i, r.Remote, r.Local, r.IfIndex)
						}
					}
					answer := batching.NewDestination(got[0].Remote, got[0].Local, got[0].IfIndex)
					if n, err := server.WriteBatch(bufs, headroom, answer, 0); n != len(bufs) || err != nil {
						t.Fatalf("answer to %v: got %d, %v", answer.Remote(), n, err)
					}
					for i, r := range read(t, client, len(want)) {
						if r.data != want[i] || r.Remote.Addr() != one.WithZone("lo") {
							t.Errorf("answer %d: from %v", i, r.Remote)
						}
					}
				}
				if v.opts != (batching.Options{}) {
					return
				}
				slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
				dst := batching.NewDestination(netip.AddrPortFrom(one.WithZone("lo"), port), two, 0)
				if n := testing.AllocsPerRun(100, func() {
					if n, err := client.WriteBatch(bufs, headroom, dst, 0); n != len(bufs) || err != nil {
						t.Errorf("write: got %d, %v", n, err)
					}
					if n, err := server.ReadBatch(slab, pkts); n != len(bufs) || err != nil {
						t.Errorf("read: got %d, %v", n, err)
					}
				}); n > poolAllocs {
					t.Errorf("got %v allocations, want at most %d", n, poolAllocs)
				}
			})
		})
	}
}

// A full send buffer makes WriteBatch wait, not fail and not lose: the loopback
// lets 8 Mbit/s through.
func TestSendBufferFull(t *testing.T) {
	inNS(t, func(lo netlink.Link) {
		if err := netlink.QdiscAdd(&netlink.Tbf{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: lo.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
			Rate:       1_000_000, Limit: 10_000_000, Buffer: 100_000,
		}); err != nil {
			testutil.Missing(t, "token bucket (sch_tbf): "+err.Error())
		}
		from := listen(t, "udp4", &batching.Options{SendBuffer: 10_000})
		to := listen(t, "udp4", nil)
		dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
		var sizes []int
		for i := range 150 {
			sizes = append(sizes, 1000+i%7)
		}
		bufs, want := batch(sizes...)
		if n, err := from.WriteBatch(bufs, headroom, dst, 0); n != len(bufs) || err != nil {
			t.Fatalf("got %d, %v, want %d", n, err, len(bufs))
		}
		for i, r := range read(t, to, len(want)) {
			if r.data != want[i] {
				t.Fatalf("packet %d differs", i)
			}
		}
		if n := from.Stats().Tx.Waits; n == 0 {
			t.Error("WriteBatch never waited")
		}
	})
}
