// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// Routers on the way to bob.
const (
	router4, router6 = "10.0.1.254", "fd00:1::fe"
)

// TestErrors: an ICMP error passes when it is about a packet of a flow that its receiver
// sent to its sender's side.
func TestErrors(t *testing.T) {
	udp4, udp6 := udp(a4, 5000, b4, 53), udp(a6, 5000, b6, 53)
	tcp4, tcp6 := tcp(inner.ACK, a4, 5000, b4, 443), tcp(inner.ACK, a6, 5000, b6, 443)
	options := append(append([]byte{0x46}, udp4[1:20]...), append([]byte{1, 1, 1, 1}, udp4[20:]...)...)
	tests := []struct {
		name string
		flow []byte // from alice to bob
		err  []byte // from bob to alice
		want filter.Reason
	}{
		{"unreachable", udp4, icmpError(b4, a4, 3, udp4), filter.Pass},
		{"from a router", udp4, icmpError(router4, a4, 11, udp4), filter.Pass},
		{"parameter", udp4, icmpError(router4, a4, 12, udp4), filter.Pass},
		{"tcp", tcp4, icmpError(router4, a4, 3, tcp4), filter.Pass},
		{"echo", echo(a4, b4, 9), icmpError(router4, a4, 11, echo(a4, b4, 9)), filter.Pass},
		{"gre", other(a4, b4, 47, 8), icmpError(router4, a4, 3, other(a4, b4, 47, 8)), filter.Pass},
		{"eight bytes quoted", tcp4, icmpError(router4, a4, 3, tcp4[:28]), filter.Pass},
		{"with options", udp4, icmpError(router4, a4, 3, seal(options)), filter.Pass},
		{"length changed on the way", udp4, icmpError(router4, a4, 3, append([]byte{0x45, 0, 9, 9}, udp4[4:]...)), filter.Pass},
		{"unreachable6", udp6, icmpError(b6, a6, 1, udp6), filter.Pass},
		{"too big", tcp6, icmpError(router6, a6, 2, tcp6), filter.Pass},
		{"time exceeded6", echo(a6, b6, 9), icmpError(router6, a6, 3, echo(a6, b6, 9)), filter.Pass},
		{"parameter6", tcp6, icmpError(router6, a6, 4, tcp6[:44]), filter.Pass},
		{"first fragment6", udp6, icmpError(router6, a6, 2, fragment(udp6, 1, 0, 8)), filter.Pass},

		{"redirect", udp4, icmpError(router4, a4, 5, udp4), filter.ByDefault},
		{"quench", udp4, icmpError(router4, a4, 4, udp4), filter.ByDefault},
		{"no error", udp4, icmpError(router4, a4, 13, udp4), filter.ByDefault},
		{"type 0 of IPv6", udp6, icmpError(router6, a6, 0, udp6), filter.ByDefault},
		{"type 100 of IPv6", udp6, icmpError(router6, a6, 100, udp6), filter.ByDefault},
		{"redirect6", udp6, icmpError(router6, a6, 137, udp6), filter.ByDefault},
		{"other port", udp4, icmpError(router4, a4, 3, udp(a4, 5001, b4, 53)), filter.ByDefault},
		{"other destination", udp4, icmpError(router4, a4, 3, udp(a4, 5000, router4, 53)), filter.ByDefault},
		{"other protocol", udp4, icmpError(router4, a4, 3, tcp(inner.ACK, a4, 5000, b4, 53)), filter.ByDefault},
		{"other direction", udp4, icmpError(router4, a4, 3, udp(b4, 53, a4, 5000)), filter.ByDefault},
		{"to somebody else", udp4, icmpError(router4, h4, 3, udp4), filter.ByDefault},
		{"other family", udp6, icmpError(router4, a4, 3, udp6), filter.ByDefault},
		{"the same number in the other family", udp("::10.0.0.2", 5000, b6, 53), icmpError(router4, a4, 3, udp("::10.0.0.2", 5000, b6, 53)), filter.ByDefault},
		{"nothing quoted", udp4, icmpError(router4, a4, 3, nil), filter.ByDefault},
		{"header cut", udp4, icmpError(router4, a4, 3, udp4[:19]), filter.ByDefault},
		{"ports cut", udp4, icmpError(router4, a4, 3, udp4[:23]), filter.ByDefault},
		{"options cut", udp4, icmpError(router4, a4, 3, options[:23]), filter.ByDefault},
		{"header of 16", udp4, icmpError(router4, a4, 3, append([]byte{0x44}, udp4[1:]...)), filter.ByDefault},
		{"identifier cut", echo(a4, b4, 9), icmpError(router4, a4, 3, echo(a4, b4, 9)[:25]), filter.ByDefault},
		{"error quoted", echo(a4, b4, 9), icmpError(router4, a4, 3, icmpError(a4, b4, 3, udp4)), filter.ByDefault},
		{"later fragment", other(a4, b4, 47, 24), icmpError(router4, a4, 3, fragment(other(a4, b4, 47, 24), 1, 8, 16)), filter.ByDefault},
		{"later fragment6", other(a6, b6, 47, 24), icmpError(router6, a6, 2, fragment(other(a6, b6, 47, 24), 1, 8, 16)), filter.ByDefault},
		{"fragment header cut", udp6, icmpError(router6, a6, 2, fragment(udp6, 1, 0, 8)[:47]), filter.ByDefault},
		{"header6 cut", udp6, icmpError(router6, a6, 2, udp6[:39]), filter.ByDefault},
		{"ports6 cut", udp6, icmpError(router6, a6, 2, udp6[:43]), filter.ByDefault},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 0, fromAlice())
			w.want(filter.ByDefault, tt.err, bob, alice)
			w.want(filter.Pass, tt.flow, alice, bob)
			w.want(tt.want, tt.err, bob, alice)
			w.want(filter.ByDefault, tt.err, carol, alice)
			w.want(filter.ByDefault, tt.err, host, alice)
			w.flows(1)
			if s := w.Stats(); tt.want == filter.Pass && s.Rules[0].Packets != 2 {
				t.Errorf("the rule of the flow counted %d packets, want 2", s.Rules[0].Packets)
			}
		})
	}
}

// TestErrorsKeepNothingAlive: errors do not make flows longer, and end with them.
func TestErrorsKeepNothingAlive(t *testing.T) {
	w := newWorld(t, 0, fromAlice())
	pkt := udp(a4, 1, b4, 2)
	w.want(filter.Pass, pkt, alice, bob)
	w.clock.advance(time.Minute)
	w.want(filter.Pass, icmpError(b4, a4, 3, pkt), bob, alice)
	w.clock.advance(1)
	w.want(filter.ByDefault, icmpError(b4, a4, 3, pkt), bob, alice)
	w.flows(0)
}

// TestMessagesByRule: other ICMP passes by a rule only, in each direction, and makes no flow.
func TestMessagesByRule(t *testing.T) {
	rule := fromAlice()
	rule.Protocol = inner.ICMP
	w := newWorld(t, 0, rule)
	for _, pkt := range [][]byte{icmpError(a4, b4, 3, udp(b4, 1, a4, 2)), icmpError(a4, b4, 13, nil), icmpError(a6, b6, 135, nil), icmpError(a6, b6, 2, nil)} {
		w.want(filter.Pass, pkt, alice, bob)
	}
	w.want(filter.ByDefault, icmpError(b4, a4, 14, nil), bob, alice)
	w.want(filter.ByDefault, icmpError(b6, a6, 136, nil), bob, alice)
	w.flows(0)
}

// TestErrorsAfterSetRules: a flow that the rules do not allow any more has no errors either.
func TestErrorsAfterSetRules(t *testing.T) {
	w := newWorld(t, 0, fromAlice())
	pkt := udp(a4, 1, b4, 2)
	w.want(filter.Pass, pkt, alice, bob)
	if err := w.SetRules([]filter.Rule{{Protocol: inner.TCP}}); err != nil {
		t.Fatal(err)
	}
	w.want(filter.ByDefault, icmpError(b4, a4, 3, pkt), bob, alice)
	w.flows(0)
}

// TestEchoDirection: who may only answer does not ask with the identifier of a question,
// and an answer that nobody asked for lets no question through.
func TestEchoDirection(t *testing.T) {
	for _, at := range [][2]string{{a4, b4}, {a6, b6}} {
		a, b := at[0], at[1]
		w := newWorld(t, 0, fromAlice())
		w.want(filter.Pass, echo(a, b, 7), alice, bob)
		w.want(filter.ByDefault, echo(b, a, 7), bob, alice)
		w.want(filter.Pass, reply(b, a, 7), bob, alice)
		w.want(filter.ByDefault, echo(b, a, 7), bob, alice)
		w.flows(1)
		w.want(filter.Pass, reply(a, b, 8), alice, bob) // the rule allows it
		w.flows(1)
		w.want(filter.ByDefault, echo(b, a, 8), bob, alice)
	}
}
