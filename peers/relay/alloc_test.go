// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// A sink is a writer that takes everything.
type sink struct{}

func (sink) WriteBatch(bufs [][]byte, _ int, _ *batching.Destination, _ geneve.VNI) (int, error) {
	return len(bufs), nil
}

func TestRouteNoAllocs(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	vni := vniOf(w.session(a, b))
	if n := testing.AllocsPerRun(1000, func() {
		w.now = w.now.Add(2 * time.Duration(aliveStep))
		if _, drop := w.table.Route(w.now, vni, a.addr); drop != DropNone {
			t.Fatal(drop)
		}
		w.table.Route(w.now, vni, address(9))
		w.table.Route(w.now, vni+1, a.addr)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// TestForwardNoAllocs covers what a worker does with a batch: parsing, gathering
// of several flows, the rate limit, sending, drops; and the refusal of a frame with
// an unknown tag.
func TestForwardNoAllocs(t *testing.T) {
	w := newWorld(t, 3, TableOptions{MaxRate: 1 << 30})
	a, b, c := w.people[0], w.people[1], w.people[2]
	wk, pkts := newBatch(w, []*person{a, b, c}, w.session(a, b), w.session(a, c))
	forged := w.seal(w.stranger(9), questions(w, a)[0].RelayMessage)
	pkts[0] = batching.Packet{Offset: len(wk.slab), Size: len(forged), Remote: a.addr}
	wk.slab = append(wk.slab, forged...)
	before := wk.out.frames.Load()
	const runs = 500
	if n := testing.AllocsPerRun(runs, func() {
		w.now = w.now.Add(time.Millisecond)
		wk.batch(w.now, pkts)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if n := wk.out.frames.Load() - before; n != (runs+1)*uint64(len(pkts)-1) {
		t.Errorf("%d frames forwarded, want %d", n, (runs+1)*(len(pkts)-1))
	}
	if n := w.drops()[DropUnknownTag.String()]; n != runs+1 {
		t.Errorf("%d frames of unknown tag, want %d", n, runs+1)
	}
}

// newBatch returns a worker that sends nowhere, and a full batch of frames for it:
// of each session from both legs.
func newBatch(w *world, people []*person, sessions ...letter) (*worker, []batching.Packet) {
	wk := &worker{server: &Server{table: w.table}}
	wk.out.prepare(w.table, postOffice{sink{}})
	wk.reply = func(*place, geneve.VNI, []byte) { w.Error("an answer") }
	var pkts []batching.Packet
	for len(pkts) < batching.MaxBatch {
		for i, s := range sessions {
			for _, p := range []*person{people[0], people[i+1]} {
				if len(pkts) == batching.MaxBatch {
					break
				}
				f := withHeader(w, vniOf(s), geneve.ProtocolWireGuard, false, make([]byte, 100))
				pkts = append(pkts, batching.Packet{Offset: len(wk.slab), Size: len(f), Remote: p.addr})
				wk.slab = append(wk.slab, f...)
			}
		}
	}
	return wk, pkts
}
