// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// labVLAN is the VLAN of the lab. There need not be a VLAN device: the underlay is told
// to behave as if there were one.
const labVLAN = 100

// testStreamVLAN has an underlay on both ends, and no sockets of the kernel: what is
// not tagged gets nowhere.
func testStreamVLAN(t *testing.T, mode redirect.Mode, queues int) {
	l := newHosts(t, queues)
	l.knowEachOther(t)
	l.under = openVLAN(t, l.near, "eth0", mode)
	far := openVLAN(t, l.far, "far0", mode)
	for _, addrs := range [][2]netip.Addr{{near4, far4}, {near6, far6}} {
		t.Run(family(addrs[0]), func(t *testing.T) {
			packets, timeout := streamPackets(t)
			pattern := newPattern()
			var streams []*stream
			var sinks []*sink
			for _, d := range []struct {
				from, to *xdp.Underlay
				dst      *batching.Destination
			}{{l.under, far, destination(addrs[1])}, {far, l.under, destination(addrs[0])}} {
				ways := l.ways(t, d.from, d.to, d.dst)
				for i, w := range ways {
					s := &stream{
						name: fmt.Sprintf("queue %d to %v", i, d.dst.Remote()), id: uint64(len(streams)), shortest: 1, pattern: pattern,
						credit: make(chan struct{}, 1), window: uint64(underWay / len(ways)),
						total: (packets + uint64(len(ways)-1-i)) / uint64(len(ways)),
						send: func(b [][]byte) (int, error) {
							n, err := w[0].WriteBatch(b, 0, d.dst, 0)
							if errors.Is(err, net.ErrClosed) { // the route is asked for again
								time.Sleep(time.Millisecond)
								err = nil
							}
							return n, err
						},
					}
					streams = append(streams, s)
					sinks = append(sinks, &sink{w[1], func(*batching.Packet) *stream { return s }})
				}
			}
			before := l.under.Status()
			start := time.Now()
			run(t, timeout, streams, sinks, func() error { return allSeen(streams) })
			t.Logf("%d packets each way in %v, %d ways", packets, time.Since(start).Round(time.Millisecond), len(streams))
			l.checkPast(t, before, packets, false)
		})
	}
	// Without a tag it is not the underlay's.
	before := l.under.Status().Program
	plain := l.listen(t, l.far)
	if _, err := plain[true].WriteBatch([][]byte{[]byte("no tag")}, 0, destination(near4), 0); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	testutil.Eventually(t, 20*time.Second, "untagged packet", func() error {
		if now := l.under.Status().Program; now["vlan"] == before["vlan"] {
			return fmt.Errorf("program: %v", now)
		}
		return nil
	})
}

// ways returns pairs of a queue to send on and the one where that arrives, which is
// another one for each.
func (l *lab) ways(t *testing.T, from, to *xdp.Underlay, dst *batching.Destination) (out [][2]*xdp.Conn) {
	t.Helper()
	taken := make(map[*xdp.Conn]bool)
	for _, c := range from.Conns() {
		testutil.Eventually(t, 20*time.Second, "way to "+dst.Remote().String(), func() error {
			_, err := c.WriteBatch([][]byte{[]byte("which queue?")}, 0, dst, 0)
			return err
		})
		var at *xdp.Conn
		testutil.Eventually(t, 20*time.Second, "packet to "+dst.Remote().String(), func() error {
			for _, r := range to.Conns() {
				if l.drain(t, r) > 0 {
					at = r
					return nil
				}
			}
			return fmt.Errorf("no queue had it: %v", to.Status().Program)
		})
		if !taken[at] {
			taken[at] = true
			out = append(out, [2]*xdp.Conn{c, at})
		}
	}
	return out
}

// knowEachOther gives both ends permanent entries for the other one.
func (l *lab) knowEachOther(t testing.TB) {
	t.Helper()
	l.near.Run(func() { know(t, l.nearLink, l.farLink, far4, far6) })
	l.far.Run(func() { know(t, l.farLink, l.nearLink, near4, near6) })
}

// know makes permanent entries at a link of the calling thread's namespace for the
// addresses of its peer.
func know(t testing.TB, at, peer netlink.Link, addrs ...netip.Addr) {
	t.Helper()
	for _, a := range addrs {
		must(t, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: at.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: peer.Attrs().HardwareAddr,
		}))
	}
}
