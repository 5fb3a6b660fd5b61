// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// flood sends packets of n flows to nowhere, with ports from first on.
func (w *world) flood(party filter.Party, src string, first, n int) {
	w.Helper()
	for i := range n {
		w.want(filter.Pass, udp(src, uint16(first+i), h4, 9), party, host)
	}
}

// talk begins n flows, which are answered if there is a place for them.
func (w *world) talk(party filter.Party, src string, first, n int) {
	w.Helper()
	for i := range n {
		w.want(filter.Pass, tcp(inner.SYN, src, uint16(first+i), h4, 9), party, host)
		w.judge(tcp(inner.SYN|inner.ACK, h4, 9, src, uint16(first+i)), host, party)
	}
}

// alive counts the flows to which the host can answer.
func (w *world) alive(party filter.Party, dst string, first, n int, flags uint8) int {
	alive := 0
	for i := range n {
		pkt := udp(h4, 9, dst, uint16(first+i))
		if flags != 0 {
			pkt = tcp(flags, h4, 9, dst, uint16(first+i))
		}
		if w.judge(pkt, host, party) == filter.Pass {
			alive++
		}
	}
	return alive
}

// fromPeers allows what peers begin, so that answers need a flow.
func fromPeers() filter.Rule { return filter.Rule{From: filter.End{Peers: true}} }

// TestFloodEvictsItsOwn: one party's flood leaves alone the flows of others, with and without answer,
// and others begin new ones during the flood.
func TestFloodEvictsItsOwn(t *testing.T) {
	w := newWorld(t, 200, fromPeers())
	w.talk(alice, a4, 1000, 20)
	w.flood(alice, a4, 2000, 20)
	w.flood(bob, b4, 1, 5000)
	w.flows(200)
	w.talk(alice, a4, 3000, 10)
	w.flood(alice, a4, 4000, 10)
	w.flood(bob, b4, 10000, 5000)
	w.flows(200)
	if n := w.alive(alice, a4, 1000, 20, inner.ACK) + w.alive(alice, a4, 3000, 10, inner.ACK); n != 30 {
		t.Errorf("%d of 30 answered flows of the other party left", n)
	}
	if n := w.alive(alice, a4, 2000, 20, 0) + w.alive(alice, a4, 4000, 10, 0); n != 30 {
		t.Errorf("%d of 30 flows of the other party left that had no answer", n)
	}
	// The flooder keeps its latest.
	if n := w.alive(bob, b4, 14900, 100, 0); n != 100 {
		t.Errorf("%d of the last 100 flows left", n)
	}
	if s := w.Stats(); s.Evicted == 0 || s.TableFull != 0 || s.MaxFlows != 200 {
		t.Errorf("Stats = %+v", s)
	}
	w.check()
}

// TestFloodOfAnsweredFlows: who fills the table with flows that have answers has to make room for
// another up to its share, and gets no new ones itself.
func TestFloodOfAnsweredFlows(t *testing.T) {
	w := newWorld(t, 100, fromPeers())
	w.talk(bob, b4, 1, 300)
	w.flows(100)
	if s := w.Stats(); s.TableFull == 0 || s.Evicted != 0 {
		t.Errorf("Stats = %+v", s)
	}
	w.talk(alice, a4, 1, 300)
	w.flows(100)
	if n := w.alive(alice, a4, 1, 300, inner.ACK); n != 50 {
		t.Errorf("%d flows of the second party, want half of 100", n)
	}
	if n := w.alive(bob, b4, 1, 300, inner.ACK); n != 50 {
		t.Errorf("%d flows of the first party, want half of 100", n)
	}
	w.check()
}

// TestPacketsToNowhereCostNoAnsweredFlow: a party below its share that never gets an answer takes one
// place at most from a party with answers only.
func TestPacketsToNowhereCostNoAnsweredFlow(t *testing.T) {
	w := newWorld(t, 100, fromPeers())
	w.talk(bob, b4, 1, 100)
	w.flood(alice, a4, 1, 1000)
	if n := w.alive(bob, b4, 1, 100, inner.ACK); n < 99 {
		t.Errorf("%d of 100 answered flows left", n)
	}
	w.check()
}

// TestFull: a packet that finds no room passes, its answer does not.
func TestFull(t *testing.T) {
	w := newWorld(t, 10, fromPeers())
	w.talk(alice, a4, 1, 10)
	w.want(filter.Pass, udp(a4, 99, h4, 9), alice, host)
	w.want(filter.ByDefault, udp(h4, 9, a4, 99), host, alice)
	s := w.Stats()
	if s.Flows != 10 || s.TableFull != 1 || s.Evicted != 0 {
		t.Errorf("Stats = %+v", s)
	}
	// What has expired makes room.
	w.clock.advance(3 * time.Hour)
	w.want(filter.Pass, udp(a4, 99, h4, 9), alice, host)
	w.want(filter.Pass, udp(h4, 9, a4, 99), host, alice)
	w.flows(1)
}

// TestLongestIdleGoes: of a party's flows without answer the one goes that was idle for longest, not the
// oldest.
func TestLongestIdleGoes(t *testing.T) {
	w := newWorld(t, 10, fromPeers())
	w.flood(alice, a4, 1, 10)
	w.clock.advance(time.Second)
	w.flood(alice, a4, 1, 5)
	w.flood(alice, a4, 100, 5)
	if n := w.alive(alice, a4, 1, 5, 0); n != 5 {
		t.Errorf("%d of 5 flows left that were used last", n)
	}
	if n := w.alive(alice, a4, 6, 5, 0); n != 0 {
		t.Errorf("%d flows left that were not used", n)
	}
}

// TestSweep: expired flows go while others come, before the table is full.
func TestSweep(t *testing.T) {
	w := newWorld(t, 256, fromPeers())
	w.flood(alice, a4, 1, 100)
	w.clock.advance(2 * time.Minute)
	w.flood(bob, b4, 1, 75)
	if used := w.Used(); used != 75 {
		t.Errorf("%d places in use, want 75", used)
	}
	w.check()
}

// TestExpiredGoFirst: no live flow goes while the table has an expired one, wherever it is.
func TestExpiredGoFirst(t *testing.T) {
	w := newWorld(t, 256, fromPeers())
	w.flood(alice, a4, 1, 256)
	w.clock.advance(50 * time.Second)
	w.flood(alice, a4, 1, 156)
	w.clock.advance(20 * time.Second)
	w.flood(bob, b4, 1, 100)
	if s := w.Stats(); s.Flows != 256 || s.Evicted != 0 {
		t.Errorf("Stats = %+v", s)
	}
	w.flood(bob, b4, 200, 1)
	if s := w.Stats(); s.Flows != 256 || s.Evicted != 1 {
		t.Errorf("Stats = %+v", s)
	}
	w.check()
}

// TestSize: the table has as many places as it was told, in up to 64 shards.
func TestSize(t *testing.T) {
	for max, shards := range map[int]int{1: 1, 100: 1, 600: 2, 1000: 2, 5000: 16, 0: 64, 1 << 20: 64} {
		w := newWorld(t, max, filter.Rule{})
		want := max
		if want == 0 {
			want = 65536
		}
		if got := w.Shards(); got != shards || w.Stats().MaxFlows != want {
			t.Errorf("MaxFlows %d: %d shards, want %d; Stats says %d", max, got, shards, w.Stats().MaxFlows)
		}
		n := min(want, 3000) * 2
		for i := range n {
			w.want(filter.Pass, udp(a4, uint16(i), b4, 1), alice, bob)
		}
		if s := w.Stats(); s.Flows > want || s.Flows+int(s.Evicted) != n {
			t.Errorf("MaxFlows %d: %d flows and %d evicted of %d", max, s.Flows, s.Evicted, n)
		}
		w.check()
	}
}

// TestTables takes random steps and looks at the tables.
func TestTables(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	w := newWorld(t, 40, filter.Rule{Action: filter.Deny, Protocol: inner.UDP, Ports: []filter.PortRange{{First: 7, Last: 9}}}, filter.Rule{})
	sets := [][]filter.Rule{{fromPeers()}, {{}}, {fromAlice()}}
	for range 20000 {
		src, dst := uint16(random.IntN(20)), uint16(random.IntN(10))
		parties := []filter.Party{host, alice, bob, carol}
		from, to := parties[random.IntN(4)], parties[random.IntN(4)]
		switch random.IntN(12) {
		case 0:
			w.clock.advance(time.Duration(random.Int64N(int64(time.Minute))))
		case 1:
			if random.IntN(20) == 0 {
				if err := w.SetRules(sets[random.IntN(len(sets))]); err != nil {
					t.Fatal(err)
				}
			}
		case 2, 3, 4:
			w.judge(tcp(uint8(random.IntN(32)), a4, src, b4, dst), from, to)
		case 5, 6:
			w.judge(tcp(uint8(random.IntN(32)), b4, dst, a4, src), to, from)
		case 7:
			w.judge(echo(a6, b6, src), from, to)
		case 8:
			w.judge(fragment(udp(a4, src, b4, dst), uint32(random.IntN(50)), 0, 8), from, to)
		case 9:
			w.judge(fragment(udp(a4, src, b4, dst), uint32(random.IntN(50)), 8, 16), from, to)
		default:
			w.judge(udp(a4, src, b4, dst), from, to)
		}
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
		if random.IntN(100) == 0 {
			w.Stats()
		}
	}
	if s := w.Stats(); s.Evicted == 0 {
		t.Error("the steps never filled the table")
	}
}
