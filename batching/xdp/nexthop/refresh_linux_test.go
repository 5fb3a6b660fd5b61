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

// probed waits until the kernel no longer takes the neighbour for stale, while
// dsts are in use.
func (l *lab) probed(ip string, dsts ...string) {
	l.t.Helper()
	testutil.Eventually(l.t, waitLimit, "probing of "+ip, func() error {
		for _, dst := range dsts {
			l.table.Lookup(netip.MustParseAddr(dst), none)
		}
		const probed = netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_FAILED
		if state := l.state(ip); state&probed == 0 {
			return fmt.Errorf("state %#x", state)
		}
		return nil
	})
}

// state returns what the kernel knows of a neighbour of eth0 (NUD_…).
func (l *lab) state(ip string) int {
	l.t.Helper()
	list, err := netlink.NeighList(l.eth0.Attrs().Index, netlink.FAMILY_ALL)
	l.check(err)
	i := slices.IndexFunc(list, func(n netlink.Neigh) bool { return n.IP.String() == ip })
	if i < 0 {
		return netlink.NUD_NONE
	}
	return list[i].State
}

// A stale neighbour in use is probed although no packet of the kernel's goes
// there: one that does not answer ends as unresolved.
func TestProbesNeighbours(t *testing.T) {
	inLab(t, &nexthop.Options{Refresh: 200 * time.Millisecond}, func(l *lab) {
		const dst = "192.0.2.2"
		l.neighbour(dst, mac1, netlink.NUD_STALE)
		l.target(dst, mac1)
		l.probed(dst, dst)
	})
}

// A permanent neighbour in use stays as it is, also one that was not so before.
func TestLeavesPermanent(t *testing.T) {
	for _, tt := range []struct{ name, fixed, learnt string }{
		{"v4", "192.0.2.2", "192.0.2.3"}, {"v6", "2001:db8::2", "2001:db8::3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, &nexthop.Options{Refresh: 100 * time.Millisecond}, func(l *lab) {
				l.neighbour(tt.fixed, mac1, netlink.NUD_STALE)
				l.target(tt.fixed, mac1)
				l.neighbour(tt.fixed, mac1, netlink.NUD_PERMANENT)
				for range 3 { // the other one shows when there was a refresh
					l.neighbour(tt.learnt, mac2, netlink.NUD_STALE)
					l.probed(tt.learnt, tt.learnt, tt.fixed)
				}
				if state := l.state(tt.fixed); state != netlink.NUD_PERMANENT {
					t.Errorf("state %#x", state)
				}
				l.target(tt.fixed, mac1)
			})
		})
	}
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
