// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestFaults changes the network under traffic.
func TestFaults(t *testing.T) {
	testutil.LeakCheck(t)
	t.Run("faults", func(t *testing.T) { // so that LeakCheck waits for all
		four, six := [2]netip.Addr{near4, far4}, [2]netip.Addr{near6, far6}
		for _, f := range []struct {
			name  string
			run   func(t *testing.T, l *lab, tr *traffic)
			addrs [][2]netip.Addr // both families where they are treated in different ways
		}{
			{"neighbour deleted", neighbourDeleted, [][2]netip.Addr{four, six}},
			{"Ethernet address changed", addressOfFarChanged, [][2]netip.Addr{four, six}},
			{"route changed", routeChanged, [][2]netip.Addr{four, six}},
			{"link down", linkDown, [][2]netip.Addr{four, six}},
			{"address removed", addressRemoved, [][2]netip.Addr{four, six}},
			{"far link down", farLinkDown, [][2]netip.Addr{six}},
			{"interface replaced", interfaceReplaced, [][2]netip.Addr{four}},
			{"MTU changed", mtuChanged, [][2]netip.Addr{six}},
			{"program removed", programRemoved, [][2]netip.Addr{four}},
			{"another program", anotherProgram, [][2]netip.Addr{six}},
		} {
			for _, addrs := range f.addrs {
				t.Run(f.name+"/"+family(addrs[0]), func(t *testing.T) {
					t.Parallel()
					l := newLab(t, 1, &xdp.Options{})
					f.run(t, l, l.traffic(t, addrs[0], addrs[1]))
				})
			}
		}
	})
}

func macOf(l netlink.Link) frame.MAC { return frame.MAC(l.Attrs().HardwareAddr) }

// neighbourDeleted deletes the kernel's entry: nothing is lost.
func neighbourDeleted(t *testing.T, l *lab, tr *traffic) {
	for range 5 {
		l.near.Run(func() {
			err := netlink.NeighDel(&netlink.Neigh{LinkIndex: l.nearLink.Attrs().Index, IP: tr.far.AsSlice()})
			must(t, err)
		})
		tr.flows(t)
		tr.past(t)
	}
	tr.complete(t)
	tr.frames.only(t, macOf(l.farLink))
}

// addressOfFarChanged gives far another Ethernet address and tells near's kernel: from
// then on nothing goes to the old one.
func addressOfFarChanged(t *testing.T, l *lab, tr *traffic) {
	before, after := macOf(l.farLink), frame.MAC{2, 0, 0, 0, 0, 9}
	l.far.Run(func() { must(t, netlink.LinkSetHardwareAddr(l.farLink, after[:])) })
	l.near.Run(func() {
		must(t, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: l.nearLink.Attrs().Index, IP: tr.far.AsSlice(), HardwareAddr: after[:], State: netlink.NUD_REACHABLE,
		}))
	})
	tr.flows(t)
	tr.past(t)
	tr.stop()
	tr.frames.only(t, before, after)
	if old, now := tr.frames.at(before), tr.frames.at(after); old.last >= now.first {
		t.Errorf("to the old address up to number %d, to the new one from %d on", old.last, now.first)
	}
}

// inactive waits until the underlay is not active, for the reason.
func inactive(t *testing.T, l *lab, reason string) {
	t.Helper()
	testutil.Eventually(t, 20*time.Second, "not active", func() error {
		if st := l.under.Status(); st.Active || st.Reason != reason {
			return fmt.Errorf("active %v, reason %q", st.Active, st.Reason)
		}
		return nil
	})
}

// linkDown takes near's interface down, with which the kernel forgets its IPv6 addresses.
func linkDown(t *testing.T, l *lab, tr *traffic) {
	for range 2 {
		l.near.Run(func() { must(t, netlink.LinkSetDown(l.nearLink)) })
		inactive(t, l, "eth0 is down")
		l.near.Run(func() {
			must(t, netlink.LinkSetUp(l.nearLink))
			addAddr(t, l.nearLink, near6)
		})
		tr.flows(t)
		tr.past(t)
	}
	if n := l.under.Status().Restarts; n != 0 {
		t.Errorf("%d restarts", n)
	}
	tr.stop()
	tr.frames.only(t, macOf(l.farLink))
}

// farLinkDown takes the other end down.
func farLinkDown(t *testing.T, l *lab, tr *traffic) {
	for range 2 {
		l.far.Run(func() { must(t, netlink.LinkSetDown(l.farLink)) })
		testutil.Eventually(t, 20*time.Second, "no carrier", func() (err error) {
			l.near.Run(func() {
				var link netlink.Link
				if link, err = netlink.LinkByName("eth0"); err == nil && link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 {
					err = fmt.Errorf("flags %#x", link.Attrs().RawFlags)
				}
			})
			return err
		})
		l.far.Run(func() {
			must(t, netlink.LinkSetUp(l.farLink))
			addAddr(t, l.farLink, far6)
		})
		tr.flows(t)
		tr.past(t)
	}
	tr.stop()
	tr.frames.only(t, macOf(l.farLink))
}

// interfaceReplaced deletes the interface and makes one of the same name.
func interfaceReplaced(t *testing.T, l *lab, tr *traffic) {
	before, index := macOf(l.farLink), l.nearLink.Attrs().Index
	l.near.Run(func() { must(t, netlink.LinkDel(l.nearLink)) })
	inactive(t, l, "no interface eth0")
	l.connect(t, 1)
	tr.flows(t)
	tr.past(t)
	st := l.under.Status()
	if st.Index != l.nearLink.Attrs().Index || st.Restarts != 1 {
		t.Errorf("%+v; the old one was %d, the new one is %d", st, index, l.nearLink.Attrs().Index)
	}
	tr.stop()
	tr.frames.only(t, before, macOf(l.farLink))
}

// addressRemoved takes the address away and gives it back.
func addressRemoved(t *testing.T, l *lab, tr *traffic) {
	addresses := func() uint64 { return l.under.Status().Program["address"] }
	for range 2 {
		before := addresses()
		l.near.Run(func() { delAddr(t, l.nearLink, tr.near) })
		testutil.Eventually(t, 20*time.Second, "packets to an address that is gone", func() error {
			if n := addresses(); n < before+some {
				return fmt.Errorf("%v", l.under.Status().Program)
			}
			return nil
		})
		l.near.Run(func() { addAddr(t, l.nearLink, tr.near) })
		tr.flows(t)
		tr.past(t)
	}
	if n := l.under.Status().Restarts; n != 0 {
		t.Errorf("%d restarts", n)
	}
	tr.stop()
	tr.frames.only(t, macOf(l.farLink))
}

// mtuChanged changes the MTU, for which the underlay starts anew: nothing is lost.
func mtuChanged(t *testing.T, l *lab, tr *traffic) {
	for i, mtu := range []int{1400, 1500} {
		l.near.Run(func() { must(t, netlink.LinkSetMTU(l.nearLink, mtu)) })
		restarted(t, l, uint64(i+1))
		tr.flows(t)
		tr.past(t)
	}
	tr.complete(t)
	tr.frames.only(t, macOf(l.farLink))
}

// restarted waits until the underlay has become active again that many times.
func restarted(t *testing.T, l *lab, n uint64) {
	t.Helper()
	testutil.Eventually(t, 30*time.Second, "restart", func() error {
		if st := l.under.Status(); !st.Active || st.Restarts != n {
			return fmt.Errorf("active %v, reason %q, %d restarts, want %d", st.Active, st.Reason, st.Restarts, n)
		}
		return nil
	})
}
