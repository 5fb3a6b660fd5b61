// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// fromAlice allows what she begins.
func fromAlice() filter.Rule { return filter.Rule{From: filter.End{Parties: []filter.Party{alice}}} }

// TestAnswers: what was allowed in one direction passes in both, and only between the
// same two, only with the same addresses, ports, protocol.
func TestAnswers(t *testing.T) {
	tests := []struct {
		name             string
		request, answer  []byte
		others           [][]byte // from bob to alice, denied
		thirdPartyAnswer []byte
	}{
		{"udp", udp(a4, 5000, b4, 53), udp(b4, 53, a4, 5000),
			[][]byte{udp(b4, 54, a4, 5000), udp(b4, 53, a4, 5001), udp(h4, 53, a4, 5000), udp(b4, 53, h4, 5000), udp(b4, 5000, a4, 53),
				tcp(inner.ACK, b4, 53, a4, 5000)}, udp(b4, 53, a4, 5000)},
		{"udp6", udp(a6, 5000, b6, 53), udp(b6, 53, a6, 5000),
			[][]byte{udp(b6, 54, a6, 5000), udp(h6, 53, a6, 5000), udp(b6, 53, h6, 5000)}, udp(b6, 53, a6, 5000)},
		{"udp same ports", udp(a4, 53, b4, 53), udp(b4, 53, a4, 53), [][]byte{udp(b4, 53, a4, 54)}, udp(b4, 53, a4, 53)},
		{"tcp", tcp(inner.SYN, a4, 5000, b4, 443), tcp(inner.SYN|inner.ACK, b4, 443, a4, 5000),
			[][]byte{tcp(inner.ACK, b4, 444, a4, 5000), tcp(inner.SYN, b4, 443, a4, 5000)}, tcp(inner.RST, b4, 443, a4, 5000)},
		{"tcp in the middle", tcp(inner.ACK, a6, 5000, b6, 443), tcp(inner.ACK, b6, 443, a6, 5000),
			[][]byte{tcp(inner.SYN, b6, 443, a6, 5000)}, tcp(inner.ACK, b6, 443, a6, 5000)},
		{"echo", echo(a4, b4, 7), reply(b4, a4, 7), [][]byte{reply(b4, a4, 8), reply(h4, a4, 7)}, reply(b4, a4, 7)},
		{"echo6", echo(a6, b6, 7), reply(b6, a6, 7), [][]byte{reply(b6, a6, 8)}, reply(b6, a6, 7)},
		{"gre", other(a4, b4, 47, 4), other(b4, a4, 47, 40), [][]byte{other(b4, a4, 46, 4), other(h4, a4, 47, 4)}, other(b4, a4, 47, 4)},
		{"same address and ports", udp(a4, 1, a4, 1), udp(a4, 1, a4, 1), nil, udp(a4, 1, a4, 1)},
		{"same address", udp(a4, 1, a4, 2), udp(a4, 2, a4, 1), [][]byte{udp(a4, 2, a4, 2)}, udp(a4, 2, a4, 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 0, fromAlice())
			w.want(filter.ByDefault, tt.answer, bob, alice)
			w.flows(0)
			w.want(filter.Pass, tt.request, alice, bob)
			w.want(filter.Pass, tt.answer, bob, alice)
			w.want(filter.Pass, tt.request, alice, bob)
			w.flows(1)
			for i, pkt := range tt.others {
				if got := w.judge(pkt, bob, alice); got != filter.ByDefault {
					t.Errorf("packet %d: %v", i, got)
				}
			}
			w.want(filter.ByDefault, tt.thirdPartyAnswer, carol, alice)
			w.want(filter.ByDefault, tt.thirdPartyAnswer, host, alice)
			w.want(filter.ByDefault, tt.request, carol, bob)
			w.want(filter.ByDefault, tt.answer, bob, carol)
			w.flows(1)
			// To somebody else at the same address it is another flow, which she may begin.
			w.want(filter.Pass, tt.request, alice, carol)
			w.want(filter.Pass, tt.answer, carol, alice)
			w.flows(2)
		})
	}
}

// TestLife lets flows be idle just as long as they may be, and a moment longer.
func TestLife(t *testing.T) {
	ack, fin, rst := tcp(inner.ACK, a4, 1, b4, 2), tcp(inner.FIN|inner.ACK, a4, 1, b4, 2), tcp(inner.RST, a4, 1, b4, 2)
	syn, synAck := tcp(inner.SYN, a4, 1, b4, 2), tcp(inner.SYN|inner.ACK, b4, 2, a4, 1)
	answered := tcp(inner.ACK, b4, 2, a4, 1)
	finBack := tcp(inner.FIN|inner.ACK, b4, 2, a4, 1)
	type step struct {
		pkt  []byte
		back bool
	}
	tests := []struct {
		name   string
		steps  []step
		life   time.Duration
		answer []byte
	}{
		{"syn", []step{{syn, false}}, time.Minute, answered},
		{"syn again", []step{{syn, false}, {syn, false}}, time.Minute, answered},
		{"tcp one way", []step{{ack, false}, {ack, false}}, time.Minute, answered},
		{"tcp", []step{{syn, false}, {synAck, true}, {ack, false}}, 2 * time.Hour, answered},
		{"tcp fin", []step{{syn, false}, {synAck, true}, {fin, false}}, time.Minute, answered},
		{"tcp fin of the other", []step{{syn, false}, {synAck, true}, {finBack, true}, {ack, false}}, time.Minute, answered},
		{"tcp rst", []step{{syn, false}, {synAck, true}, {rst, false}}, time.Minute, answered},
		{"tcp again", []step{{syn, false}, {synAck, true}, {fin, false}, {syn, false}, {synAck, true}}, 2 * time.Hour, answered},
		{"udp", []step{{udp(a4, 1, b4, 2), false}}, time.Minute, udp(b4, 2, a4, 1)},
		{"udp answered", []step{{udp(a4, 1, b4, 2), false}, {udp(b4, 2, a4, 1), true}}, 3 * time.Minute, udp(b4, 2, a4, 1)},
		{"echo", []step{{echo(a6, b6, 1), false}, {reply(b6, a6, 1), true}}, 30 * time.Second, reply(b6, a6, 1)},
		{"gre", []step{{other(a4, b4, 47, 1), false}}, 10 * time.Minute, other(b4, a4, 47, 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, late := range []time.Duration{0, 1} {
				w := newWorld(t, 0, fromAlice())
				for i, s := range tt.steps {
					if i > 0 {
						w.clock.advance(20 * time.Second) // each packet keeps it alive
					}
					if s.back {
						w.want(filter.Pass, s.pkt, bob, alice)
					} else {
						w.want(filter.Pass, s.pkt, alice, bob)
					}
				}
				w.clock.advance(tt.life + late)
				want, flows := filter.Pass, 1
				if late > 0 {
					want, flows = filter.ByDefault, 0
				}
				w.flows(flows)
				w.want(want, tt.answer, bob, alice)
				w.flows(flows)
			}
		})
	}
}

// TestSYNIsJudgedAnew: the end that may only answer cannot begin a connection inside of a flow, nor
// end it by trying; the end that may, can.
func TestSYNIsJudgedAnew(t *testing.T) {
	w := newWorld(t, 0, fromAlice())
	syn, synBack := tcp(inner.SYN, a4, 1, b4, 2), tcp(inner.SYN, b4, 2, a4, 1)
	ack, ackBack := tcp(inner.ACK, a4, 1, b4, 2), tcp(inner.ACK, b4, 2, a4, 1)
	w.want(filter.Pass, syn, alice, bob)
	w.want(filter.ByDefault, synBack, bob, alice)
	w.want(filter.Pass, ackBack, bob, alice)
	w.want(filter.Pass, ack, alice, bob)
	w.want(filter.ByDefault, synBack, bob, alice)
	w.clock.advance(time.Hour) // the flow is still the answered one
	w.want(filter.Pass, ackBack, bob, alice)
	w.want(filter.Pass, syn, alice, bob)
	w.flows(1)
	w.clock.advance(time.Minute + 1) // the new one never was
	w.want(filter.ByDefault, ackBack, bob, alice)
	w.flows(0)

	// In one batch the denied SYN does not speak for the packets behind it.
	w.want(filter.Pass, syn, alice, bob)
	for _, tt := range []struct {
		pkt  []byte
		want filter.Reason
	}{{ackBack, filter.Pass}, {synBack, filter.ByDefault}, {ackBack, filter.Pass}, {synBack, filter.ByDefault}} {
		if got := w.next(tt.pkt, bob, alice); got != tt.want {
			t.Errorf("verdict %v, want %v", got, tt.want)
		}
	}
}

// TestSYNTurnsTheFlow: where both may begin, the last to begin is whose flow it is.
func TestSYNTurnsTheFlow(t *testing.T) {
	rules := []filter.Rule{{From: filter.End{Parties: []filter.Party{alice}}}, {From: filter.End{Parties: []filter.Party{bob}}}}
	w := newWorld(t, 0, rules...)
	w.want(filter.Pass, tcp(inner.SYN, a4, 1, b4, 2), alice, bob)
	w.want(filter.Pass, tcp(inner.SYN, b4, 2, a4, 1), bob, alice)
	w.flows(1)
	// Without bob's rule the flow that he began is none.
	if err := w.SetRules(rules[:1]); err != nil {
		t.Fatal(err)
	}
	w.want(filter.ByDefault, tcp(inner.ACK, b4, 2, a4, 1), bob, alice)
	w.flows(0)
}

// TestForeignRST: an RST with the addresses of a flow but from somebody else leaves it alone.
func TestForeignRST(t *testing.T) {
	w := newWorld(t, 0, filter.Rule{})
	w.want(filter.Pass, tcp(inner.SYN, a4, 1, b4, 2), alice, bob)
	w.want(filter.Pass, tcp(inner.SYN|inner.ACK, b4, 2, a4, 1), bob, alice)
	w.want(filter.Pass, tcp(inner.RST, a4, 1, b4, 2), carol, bob) // allowed, as a flow of its own
	w.want(filter.Pass, tcp(inner.FIN, b4, 2, a4, 1), carol, alice)
	w.flows(3)
	w.clock.advance(time.Hour)
	w.flows(1)
}

// TestBatch: verdicts of a batch hold until Reset, and an answer that was denied passes as
// soon as it is one.
func TestBatch(t *testing.T) {
	w := newWorld(t, 0, fromAlice())
	request, answer := udp(a4, 1, b4, 2), udp(b4, 2, a4, 1)
	for i, want := range []filter.Reason{filter.ByDefault, filter.ByDefault} {
		if got := w.next(answer, bob, alice); got != want {
			t.Errorf("answer %d: %v, want %v", i, got, want)
		}
	}
	for range 3 {
		if got := w.next(request, alice, bob); got != filter.Pass {
			t.Errorf("request: %v", got)
		}
		if got := w.next(answer, bob, alice); got != filter.Pass {
			t.Errorf("answer: %v", got)
		}
	}
	s := w.Stats()
	if s.Rules[0].Packets != 6 || s.Rules[0].Bytes != 6*36 || s.Denied[filter.ByDefault] != 2 {
		t.Errorf("Stats = %+v", s)
	}
	w.flows(1)
}

// TestBatchOfManyFlows: more flows than a batch remembers keep their own verdicts.
func TestBatchOfManyFlows(t *testing.T) {
	w := newWorld(t, 0, filter.Rule{Protocol: inner.UDP, Ports: []filter.PortRange{{First: 0, Last: 499}}})
	for round := range 3 {
		for port := range uint16(1000) {
			want := filter.Pass
			if port >= 500 {
				want = filter.ByDefault
			}
			if got := w.next(udp(a4, 7, b4, port), alice, bob); got != want {
				t.Fatalf("round %d, port %d: %v, want %v", round, port, got, want)
			}
		}
	}
	w.flows(500)
}
