// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// However many destinations there are, no more answers than allowed are kept.
func TestBound(t *testing.T) {
	inLab(t, &nexthop.Options{Entries: 8, Refresh: time.Hour}, func(l *lab) {
		a := netip.MustParseAddr("198.51.100.2")
		for range 40 {
			l.reason(a.String(), nexthop.OtherInterface)
			if n := l.table.Len(); n > 8 {
				t.Fatalf("%d answers are kept", n)
			}
			a = a.Next()
		}
	})
}

// Answers that nobody uses go away.
func TestForgetsUnused(t *testing.T) {
	inLab(t, &nexthop.Options{Refresh: 200 * time.Millisecond}, func(l *lab) {
		l.reason("198.51.100.2", nexthop.OtherInterface)
		testutil.Eventually(t, 20*time.Second, "an empty table", func() error {
			if n := l.table.Len(); n != 0 {
				return fmt.Errorf("%d answers are kept", n)
			}
			return nil
		})
	})
}

// A stale neighbour in use is probed although no packet of the kernel's goes
// there: one that does not answer ends as unresolved.
func TestProbesNeighbours(t *testing.T) {
	inLab(t, &nexthop.Options{Refresh: 200 * time.Millisecond}, func(l *lab) {
		const dst = "192.0.2.2"
		l.neighbour(dst, mac1, netlink.NUD_STALE)
		l.target(dst, mac1)
		testutil.Eventually(t, 20*time.Second, "probing", func() error {
			l.table.Lookup(netip.MustParseAddr(dst), none)
			list, err := netlink.NeighList(l.eth0.Attrs().Index, netlink.FAMILY_V4)
			if err != nil {
				return err
			}
			const probed = netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_FAILED
			if !slices.ContainsFunc(list, func(n netlink.Neigh) bool { return n.State&probed != 0 }) {
				return fmt.Errorf("got %+v", list)
			}
			return nil
		})
	})
}

func TestNoAllocs(t *testing.T) {
	inLab(t, &nexthop.Options{Refresh: time.Hour}, func(l *lab) {
		l.neighbour("192.0.2.2", mac1, netlink.NUD_PERMANENT)
		l.target("192.0.2.2", mac1)
		dst := netip.MustParseAddr("192.0.2.2")
		if n := testing.AllocsPerRun(100, func() { l.table.Lookup(dst, none) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// Every reason has a word of its own.
func TestReasonString(t *testing.T) {
	seen := map[string]bool{"": true}
	for r := range nexthop.Reasons + 1 {
		if seen[r.String()] {
			t.Errorf("reason %d: %q is taken or empty", r, r)
		}
		seen[r.String()] = true
	}
}

func BenchmarkLookup(b *testing.B) {
	testutil.NeedNetNS(b)
	testutil.NewNS(b).Run(func() {
		table, err := nexthop.Open(1, &nexthop.Options{Refresh: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		defer table.Close()
		dst := netip.MustParseAddr("127.0.0.1")
		testutil.Eventually(b, 20*time.Second, "an answer", func() error {
			if _, r := table.Lookup(dst, none); r == nexthop.Pending {
				return fmt.Errorf("got %v", r)
			}
			return nil
		})
		for b.Loop() {
			table.Lookup(dst, none)
		}
	})
}
