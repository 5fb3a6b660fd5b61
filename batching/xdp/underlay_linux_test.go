// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestBothWays sends past the kernel, to a kernel, and back.
func TestBothWays(t *testing.T) {
	for _, mode := range []redirect.Mode{redirect.ModeNative, redirect.ModeGeneric} {
		for _, addrs := range [][2]netip.Addr{{near4, far4}, {near6, far6}} {
			for _, vni := range []geneve.VNI{0, vni(t, 77)} {
				t.Run(fmt.Sprintf("%v/%v/%v", mode, addrs[0], vni.IsSet()), func(t *testing.T) {
					testutil.LeakCheck(t)
					l := newLab(t, 1, &xdp.Options{Attach: mode})
					testBothWays(t, l, addrs[0], addrs[1], vni)
				})
			}
		}
	}
}

func testBothWays(t *testing.T, l *lab, near, far netip.Addr, vni geneve.VNI) {
	const n, offset = 300, 8
	c, peer := l.under.Conns()[0], l.peer[near.Is4()]
	out := make([][]byte, n)
	for i := range out {
		out[i] = append(make([]byte, offset), fmt.Sprintf("%0*d", 1+i*4, i)...)
	}
	// The kernel may have news of the link at any time, after which the first packets
	// take its sockets. A round in which none did must come soon.
	past := false
	for round := 0; round < 20 && !past; round++ {
		before := c.Stats().Tx.Packets
		if k, err := c.WriteBatch(out, offset, destination(far), vni); k != n || err != nil {
			t.Fatal(k, err)
		}
		past = c.Stats().Tx.Packets-before == n
		for i, g := range read(t, peer, n) {
			want := string(out[i][offset:])
			if vni.IsSet() {
				g.data = g.data[geneve.HeaderLen:]
			}
			if g.data != want || g.Remote != netip.AddrPortFrom(near, port) || g.Local != far {
				t.Fatalf("packet %d: %v to %v, %d bytes, want %d", i, g.Remote, g.Local, len(g.data), len(want))
			}
		}
	}
	if !past {
		t.Errorf("packets keep going through the kernel: %v", l.under.Status().Kernel)
	}
	// Not merged: how a merged one arrives depends on the mode, see TestMerged.
	for i := range out {
		if k, err := peer.WriteBatch(out[i:i+1], offset, destination(near), vni); k != 1 || err != nil {
			t.Fatal(k, err)
		}
	}
	for i, g := range read(t, c, n) {
		want := string(out[i][offset:])
		if vni.IsSet() {
			g.data = g.data[geneve.HeaderLen:]
		}
		if g.data != want || g.Remote != netip.AddrPortFrom(far, port) || g.Local != near || g.IfIndex != uint32(l.nearLink.Attrs().Index) {
			t.Fatalf("packet %d: %v to %v at %d, %d bytes, want %d", i, g.Remote, g.Local, g.IfIndex, len(g.data), len(want))
		}
	}
	if k := l.beside[near.Is4()].Stats().Rx.Packets; k != 0 {
		t.Errorf("%d packets reached the kernel's socket", k)
	}
}

func vni(t *testing.T, v uint32) geneve.VNI {
	t.Helper()
	out, err := geneve.MakeVNI(v)
	must(t, err)
	return out
}
