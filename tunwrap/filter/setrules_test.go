// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// TestSetRules: flows are judged anew at their next packet, in the direction of their first.
func TestSetRules(t *testing.T) {
	w := newWorld(t, 0, filter.Rule{Text: "all"})
	dns, web := udp(a4, 1, b4, 53), tcp(inner.SYN, a4, 1, b4, 443)
	w.want(filter.Pass, dns, alice, bob)
	w.want(filter.Pass, web, alice, bob)
	if err := w.SetRules([]filter.Rule{{Text: "dns", From: filter.End{Parties: []filter.Party{alice}}, Protocol: inner.UDP,
		Ports: []filter.PortRange{{First: 53, Last: 53}}}}); err != nil {
		t.Fatal(err)
	}
	w.flows(2) // not yet
	w.want(filter.Pass, udp(b4, 53, a4, 1), bob, alice)
	w.want(filter.ByDefault, tcp(inner.SYN|inner.ACK, b4, 443, a4, 1), bob, alice)
	w.want(filter.ByDefault, tcp(inner.ACK, a4, 1, b4, 443), alice, bob)
	w.flows(1)
	if s := w.Stats(); len(s.Rules) != 1 || s.Rules[0].Text != "dns" || s.Rules[0].Packets != 1 {
		t.Errorf("Stats = %+v", s)
	}
	// Back to the first: what has ended does not come back by an answer alone.
	if err := w.SetRules([]filter.Rule{fromAlice()}); err != nil {
		t.Fatal(err)
	}
	w.want(filter.ByDefault, tcp(inner.ACK, b4, 443, a4, 1), bob, alice)
	w.want(filter.Pass, tcp(inner.ACK, a4, 1, b4, 443), alice, bob)
	w.want(filter.Pass, tcp(inner.ACK, b4, 443, a4, 1), bob, alice)
}

// TestSetRulesInABatch: the new rules count for the next packet.
func TestSetRulesInABatch(t *testing.T) {
	w := newWorld(t, 0, filter.Rule{})
	pkt := udp(a4, 1, b4, 2)
	for i, want := range []filter.Reason{filter.Pass, filter.ByRule, filter.Pass} {
		if err := w.SetRules([]filter.Rule{{Action: filter.Action(i % 2)}}); err != nil {
			t.Fatal(err)
		}
		if got := w.next(pkt, alice, bob); got != want {
			t.Errorf("after change %d: %v, want %v", i, got, want)
		}
	}
}

// TestCountersStay: a rule keeps its numbers while its text stays, wherever it goes.
func TestCountersStay(t *testing.T) {
	udpRule := filter.Rule{Protocol: inner.UDP, Text: "udp"}
	w := newWorld(t, 0, udpRule, filter.Rule{Text: "rest"})
	w.want(filter.Pass, udp(a4, 1, b4, 2), alice, bob)
	w.want(filter.Pass, echo(a4, b4, 2), alice, bob)
	if err := w.SetRules([]filter.Rule{{Protocol: inner.TCP, Text: "tcp"}, udpRule, udpRule, {Line: 9}}); err != nil {
		t.Fatal(err)
	}
	w.want(filter.Pass, udp(a4, 1, b4, 2), alice, bob)
	for i, want := range []uint64{0, 2, 0, 0} {
		if got := w.Stats().Rules[i].Packets; got != want {
			t.Errorf("rule %d: %d packets, want %d", i, got, want)
		}
	}
}

// TestConcurrently judges from several goroutines while rules change and counters are read.
// No packet gets a verdict that neither set of rules gives, and none is lost from the counters.
func TestConcurrently(t *testing.T) {
	const goroutines, rounds = 4, 3000
	sets := [][]filter.Rule{
		{{Text: "all"}},
		{{Action: filter.Deny, Protocol: inner.UDP, Text: "no udp"}, {Text: "all"}},
	}
	f, err := filter.New(sets[0], &filter.Options{MaxFlows: 300})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			var b filter.Batch
			for i := range rounds {
				if i%16 == 0 {
					b.Reset()
				}
				party := filter.Party(g % 2) // two share their flows
				pkts := [][]byte{udp(a4, uint16(i), b4, 1), tcp(inner.ACK, a4, uint16(i%100), b4, 1), fragment(udp(a4, 5, b4, 6), uint32(i), 0, 8)}
				for j, pkt := range pkts {
					var p inner.Packet
					p.Parse(pkt)
					switch reason := f.Verdict(&b, &p, pkt, party, 9); {
					case reason == filter.Pass:
					case j != 1 && (reason == filter.ByRule || reason == filter.FragmentOverlap):
					default:
						t.Errorf("packet %d: %v", j, reason)
						return
					}
				}
			}
		})
	}
	for i := range 200 {
		if err := f.SetRules(sets[i%2]); err != nil {
			t.Error(err)
		}
		f.Stats()
	}
	wg.Wait()
	if err := f.SetRules(sets[1]); err != nil {
		t.Error(err)
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
	if s := f.Stats(); s.Rules[1].Packets == 0 || s.Flows > 300 {
		t.Errorf("Stats = %+v", s)
	}
}

// TestFirstRules: what began without rules goes on, whichever end speaks next; what
// begins afterwards is judged.
func TestFirstRules(t *testing.T) {
	w := newWorld(t, 0)
	rules := []filter.Rule{fromAlice()}
	if err := w.SetRules(rules); err != nil {
		t.Fatal(err)
	}
	w.want(filter.Pass, udp(b4, 53, a4, 1), bob, alice)
	w.want(filter.Pass, tcp(inner.ACK, b4, 443, a4, 2), bob, alice)
	w.want(filter.Pass, tcp(inner.SYN|inner.ACK, b4, 443, a4, 3), bob, alice)
	w.want(filter.ByDefault, tcp(inner.SYN, b4, 443, a4, 4), bob, alice)
	w.want(filter.ByDefault, udp(b4, 53, a4, 1), bob, filter.Host)
	w.flows(3)
	// Other rules meanwhile change nothing about it.
	if err := w.SetRules(append(rules, filter.Rule{Text: "more", Protocol: 132})); err != nil {
		t.Fatal(err)
	}
	w.want(filter.Pass, udp(b4, 53, a4, 5), bob, alice)
	w.clock.advance(61 * time.Second)
	w.want(filter.ByDefault, udp(b4, 53, a4, 6), bob, alice)
	w.want(filter.Pass, tcp(inner.ACK, a4, 3, b4, 443), alice, bob)
	// What it was let through for is judged as what alice began.
	if err := w.SetRules([]filter.Rule{{Text: "bob", From: filter.End{Parties: []filter.Party{bob}}}}); err != nil {
		t.Fatal(err)
	}
	w.want(filter.ByDefault, tcp(inner.ACK, a4, 3, b4, 443), alice, bob)
}
