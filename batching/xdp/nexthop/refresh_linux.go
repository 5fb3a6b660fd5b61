// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// answer asks the kernel what Lookup wants to know, and refreshes, until the
// table closes.
func (t *Table) answer() {
	refresh := time.NewTicker(t.options.Refresh)
	defer refresh.Stop()
	for {
		select {
		case <-t.done:
			return
		case k := <-t.ask:
			t.first(k)
		case <-refresh.C:
			t.refresh()
		}
	}
}

// first asks for k unless that is known by now: many packets ask the same.
func (t *Table) first(k key) {
	if t.entries.get(&k) == nil {
		t.renew(k, true)
	}
}

// refresh drops the answers that nobody used since the last time, asks for the
// others again, and tells the kernel that their neighbours are in use. New
// questions are answered in between.
func (t *Table) refresh() {
	t.mu.Lock()
	t.hostChanged = true // some changes have no message
	t.entries.remove(func(e *entry) bool { return !e.used.Load() })
	left := t.entries.all()
	t.mu.Unlock()
	told := map[netip.Addr]struct{}{}
	for _, e := range left {
		select {
		case <-t.done:
			return
		case k := <-t.ask:
			t.first(k)
		default:
		}
		e = t.renew(e.key, false)
		if e == nil || e.reason != OK || e.fixed {
			continue
		}
		if _, known := told[e.hop.Gateway]; !known {
			told[e.hop.Gateway] = struct{}{}
			t.use(e.hop.Gateway)
		}
	}
}

// use tells the kernel that a neighbour is in use. It does not wait: a failure is
// no loss, for when the neighbour is gone its message comes. It must not be called
// for one that is permanent, which would lose its Ethernet address
// (net/core/neighbour.c, __neigh_update, since Linux 5.16).
func (t *Table) use(ip netip.Addr) {
	t.kernel.begin(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	t.appendNeighbour(ip, unix.NTF_USE)
	_ = t.kernel.send()
}
