// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"maps"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
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
			if (*t.entries.Load())[k] == nil { // many packets ask the same
				t.renew(k, true)
			}
		case <-refresh.C:
			t.refresh()
		}
	}
}

// renew asks for k and keeps the answer. One that was just asked for counts as
// used.
func (t *Table) renew(k key, used bool) {
	asked := t.now()
	e := t.resolve(k)
	e.used.Store(used)
	t.keep(k, e, asked)
}

// refresh drops the answers that nobody used since the last time, asks for the
// others again, and tells the kernel that their neighbours are in use.
func (t *Table) refresh() {
	t.mu.Lock()
	left := maps.Clone(*t.entries.Load())
	maps.DeleteFunc(left, func(_ key, e *entry) bool { return !e.used.Load() })
	t.entries.Store(&left)
	t.mu.Unlock()
	told := map[netip.Addr]bool{}
	for k, e := range left {
		select {
		case <-t.done:
			return
		default:
		}
		if e.reason == OK && !told[e.hop.Gateway] {
			told[e.hop.Gateway] = true
			// A failure is no loss: should the neighbour be gone, its message comes.
			_ = t.handle.NeighAppend(&netlink.Neigh{
				LinkIndex: t.ifIndex, IP: e.hop.Gateway.AsSlice(), Flags: netlink.NTF_USE,
			})
		}
		t.renew(k, false)
	}
}
