// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A topOrder is one order of the table: its key on the keyboard, its name, and how it
// compares. Peers about which nothing is known are last, whichever way round.
type topOrder struct {
	key     byte
	name    string
	known   func(*topPeer) bool
	compare func(x, y *topPeer) int
}

// topOrders are the orders, the one at the beginning first.
func topOrders() []topOrder {
	always := func(*topPeer) bool { return true }
	return []topOrder{
		{'r', "received", always, func(x, y *topPeer) int {
			return cmp.Or(cmp.Compare(y.rxRate, x.rxRate), cmp.Compare(y.rx, x.rx))
		}},
		{'t', "sent", always, func(x, y *topPeer) int {
			return cmp.Or(cmp.Compare(y.txRate, x.txRate), cmp.Compare(y.tx, x.tx))
		}},
		{'l', "latency", func(p *topPeer) bool { return p.latency > 0 }, func(x, y *topPeer) int {
			return cmp.Compare(y.latency, x.latency)
		}},
		{'h', "handshake", func(p *topPeer) bool { return !p.handshake.IsZero() }, func(x, y *topPeer) int {
			return y.handshake.Compare(x.handshake)
		}},
		{'p', "path", func(p *topPeer) bool { return p.path.text != "" }, func(x, y *topPeer) int {
			return cmp.Compare(x.path.text, y.path.text)
		}},
		{'n', "name", func(p *topPeer) bool { return p.called != "" }, func(x, y *topPeer) int {
			return cmp.Compare(strings.ToLower(x.called), strings.ToLower(y.called))
		}},
	}
}

// topOrderOf returns the index of an order by what has it.
func topOrderOf(has func(*topOrder) bool) (int, bool) {
	orders := topOrders()
	for i := range orders {
		if has(&orders[i]) {
			return i, true
		}
	}
	return 0, false
}

// sort brings the peers in an order. Those that are equal in it are in that of their keys.
func (s *topSample) sort(order int, reverse bool) {
	o := topOrders()[order]
	slices.SortFunc(s.peers, func(x, y topPeer) int {
		switch a, b := o.known(&x), o.known(&y); {
		case a && !b:
			return -1
		case b && !a:
			return 1
		}
		c := cmp.Or(o.compare(&x, &y), bytes.Compare(x.key[:], y.key[:]))
		if reverse {
			return -c
		}
		return c
	})
}

// sortedDrops are the reasons, those that grow fastest first.
func (s *topSample) sortedDrops() []topDrop {
	return slices.SortedFunc(maps.Keys(s.drops), func(x, y topDrop) int {
		a, b := s.drops[x], s.drops[y]
		return cmp.Or(cmp.Compare(b.perSecond, a.perSecond), cmp.Compare(b.total, a.total),
			cmp.Compare(x.stage, y.stage), cmp.Compare(x.reason, y.reason))
	})
}

// freshFor is how old a session may be to be used: REJECT_AFTER_TIME of WireGuard.
const freshFor = 180 * time.Second

// fresh reports whether p has a session.
func (t *topPeer) fresh(now time.Time) bool {
	return !t.handshake.IsZero() && now.Sub(t.handshake) <= freshFor
}
