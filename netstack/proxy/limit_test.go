// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"net/netip"
	"testing"
)

func TestLimits(t *testing.T) {
	l := newLimits(3, 2)
	a := netip.MustParseAddr("192.0.2.1")
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	b := netip.MustParseAddr("fe80::1%eth0")
	loop := netip.MustParseAddr("127.0.0.1")
	take := func(client netip.Addr, want bool, active int, refused uint64) {
		t.Helper()
		if got := l.acquire(client); got != want {
			t.Errorf("acquire %v: got %v, want %v", client, got, want)
		}
		if n, r := l.counts(); n != active || r != refused {
			t.Errorf("got %d active and %d refused, want %d and %d", n, r, active, refused)
		}
	}
	take(a, true, 1, 0)
	take(mapped, true, 2, 0)
	take(a, false, 2, 1) // its own limit
	take(b, true, 3, 1)
	take(loop, false, 3, 2) // the total
	l.release(a)
	l.release(a)
	l.release(b)
	take(loop, true, 1, 2)
	take(loop, true, 2, 2)
	take(loop, true, 3, 2) // loopback has no limit of its own
	for range 3 {
		l.release(loop)
	}
	if n, _ := l.counts(); n != 0 || len(l.clients) != 0 {
		t.Errorf("%d active and %d clients are left", n, len(l.clients))
	}
}

func TestLimitDefaults(t *testing.T) {
	if l := newLimits(0, 0); l.total != 16384 || l.perClient != 4096 {
		t.Errorf("got %d and %d", l.total, l.perClient)
	}
	l := newLimits(-1, -1)
	for range 2 * defaultTotal {
		if !l.acquire(netip.MustParseAddr("192.0.2.1")) {
			t.Fatal("refused without a limit")
		}
	}
}
