// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A cut is a fragment, and what has to become of it.
type cut struct {
	offset, end int // of the payload
	want        filter.Reason
}

// TestFragments sends fragments of a datagram with 8 bytes of header and 72 of data, of
// both families.
func TestFragments(t *testing.T) {
	const pass, first, overlap = filter.Pass, filter.FragmentFirst, filter.FragmentOverlap
	tests := []struct {
		name string
		cuts []cut
		left int // datagrams that are still followed
	}{
		{"in order", []cut{{0, 24, pass}, {24, 48, pass}, {48, 80, pass}}, 0},
		{"only the first", []cut{{0, 24, pass}}, 1},
		{"identification again", []cut{{0, 24, pass}, {24, 80, pass}, {0, 40, pass}, {40, 80, pass}}, 0},
		{"with a hole", []cut{{0, 24, pass}, {48, 80, pass}}, 1},
		{"later before first", []cut{{24, 48, first}, {0, 24, pass}, {24, 80, pass}}, 0},
		{"out of order", []cut{{0, 24, pass}, {48, 64, pass}, {24, 48, overlap}, {64, 80, overlap}}, 1},
		{"overlap by one unit", []cut{{0, 24, pass}, {16, 48, overlap}, {48, 80, overlap}}, 1},
		{"overlap at the end", []cut{{0, 24, pass}, {24, 48, pass}, {40, 80, overlap}}, 1},
		{"inside of the header", []cut{{0, 8, pass}, {8, 80, pass}}, 0},
		{"first twice", []cut{{0, 24, pass}, {0, 24, overlap}, {24, 80, overlap}}, 1},
		{"other first", []cut{{0, 24, pass}, {0, 40, overlap}, {40, 80, overlap}}, 1},
		{"middle twice", []cut{{0, 24, pass}, {24, 48, pass}, {24, 48, overlap}, {48, 80, overlap}}, 1},
		{"behind the last", []cut{{0, 24, pass}, {40, 80, pass}, {72, 80, overlap}}, 1},
		{"after all of it", []cut{{0, 24, pass}, {24, 80, pass}, {24, 80, first}}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, whole := range [][]byte{
				testutil.UDP(at(a4, 1), at(b4, 2), make([]byte, 72)), testutil.UDP(at(a6, 1), at(b6, 2), make([]byte, 72)),
			} {
				w := newWorld(t, 0, fromAlice())
				for i, c := range tt.cuts {
					pkt := fragment(whole, 7, c.offset, c.end)
					if got := w.judge(pkt, alice, bob); got != c.want {
						t.Errorf("fragment %d of version %d: %v, want %v", i, whole[0]>>4, got, c.want)
					}
				}
				if s := w.Stats(); s.Fragments != tt.left || s.Flows != 1 {
					t.Errorf("%d datagrams, %d flows, want %d and 1", s.Fragments, s.Flows, tt.left)
				}
				w.check()
			}
		})
	}
}

// TestFragmentsApart: fragments belong together only with the same two parties, addresses,
// identification and, of IPv4, protocol.
func TestFragmentsApart(t *testing.T) {
	whole := func(src, dst string) []byte { return testutil.UDP(at(src, 1), at(dst, 2), make([]byte, 72)) }
	changed := func(pkt []byte, at int, to byte) []byte {
		pkt[at] = to
		return seal(pkt)
	}
	tests := []struct {
		name     string
		first    []byte
		later    []byte
		from, to filter.Party
		want     filter.Reason
	}{
		{"same", fragment(whole(a4, b4), 7, 0, 24), fragment(whole(a4, b4), 7, 24, 80), alice, bob, filter.Pass},
		{"other identification", fragment(whole(a4, b4), 7, 0, 24), fragment(whole(a4, b4), 8, 24, 80), alice, bob, filter.FragmentFirst},
		{"upper half of it", fragment(whole(a6, b6), 7, 0, 24), fragment(whole(a6, b6), 7+1<<16, 24, 80), alice, bob, filter.FragmentFirst},
		{"other source", fragment(whole(a4, b4), 7, 0, 24), fragment(whole(h4, b4), 7, 24, 80), alice, bob, filter.FragmentFirst},
		{"other destination", fragment(whole(a4, b4), 7, 0, 24), fragment(whole(a4, h4), 7, 24, 80), alice, bob, filter.FragmentFirst},
		{"reverse", fragment(whole(a4, b4), 7, 0, 24), fragment(whole(b4, a4), 7, 24, 80), bob, alice, filter.FragmentFirst},
		{"other sender", fragment(whole(a4, b4), 7, 0, 24), fragment(whole(a4, b4), 7, 24, 80), carol, bob, filter.FragmentFirst},
		{"other receiver", fragment(whole(a4, b4), 7, 0, 24), fragment(whole(a4, b4), 7, 24, 80), alice, carol, filter.FragmentFirst},
		{"other protocol", fragment(whole(a4, b4), 7, 0, 24), changed(fragment(whole(a4, b4), 7, 24, 80), 9, inner.TCP), alice, bob, filter.FragmentFirst},
		{"other protocol6", fragment(whole(a6, b6), 7, 0, 24), changed(fragment(whole(a6, b6), 7, 24, 80), 40, inner.TCP), alice, bob, filter.Pass},
		{"second first6", fragment(whole(a6, b6), 7, 0, 24), changed(fragment(whole(a6, b6), 7, 0, 24), 40, 47), alice, bob, filter.FragmentOverlap},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 0, filter.Rule{})
			w.want(filter.Pass, tt.first, alice, bob)
			w.want(tt.want, tt.later, tt.from, tt.to)
		})
	}
}

// TestFirstFragmentDecides: the fragments of a datagram that was not allowed are denied, and
// those of a tiny first fragment, which hides its ports (RFC 1858).
func TestFirstFragmentDecides(t *testing.T) {
	w := newWorld(t, 0, filter.Rule{Protocol: inner.TCP, Ports: []filter.PortRange{{First: 80, Last: 80}}})
	segment := func(port uint16) []byte {
		s := testutil.TCP{Src: at(a4, 1), Dst: at(b4, port), Flags: inner.SYN, Payload: make([]byte, 60)}
		return s.Packet()
	}
	w.want(filter.ByDefault, fragment(segment(22), 1, 0, 24), alice, bob)
	w.want(filter.FragmentFirst, fragment(segment(22), 1, 24, 80), alice, bob)
	w.want(filter.Transport, fragment(segment(80), 2, 0, 16), alice, bob)
	w.want(filter.FragmentFirst, fragment(segment(80), 2, 16, 80), alice, bob)
	w.want(filter.FragmentFirst, fragment(segment(80), 3, 8, 80), alice, bob) // RFC 3128
	w.want(filter.Pass, fragment(segment(80), 4, 0, 24), alice, bob)
	w.want(filter.FragmentOverlap, fragment(segment(80), 4, 8, 24), alice, bob)
	w.want(filter.Pass, fragment(segment(80), 5, 0, 24), alice, bob)
	w.want(filter.Pass, fragment(segment(80), 5, 24, 80), alice, bob)
	s := w.Stats()
	if s.Rules[0].Packets != 3 || s.Denied[filter.FragmentFirst] != 3 || s.Denied[filter.FragmentOverlap] != 1 || s.Denied[filter.Transport] != 1 {
		t.Errorf("Stats = %+v", s)
	}
}

// TestAtomicFragment: a fragment of everything is a packet like any other (RFC 6946), however often its
// identification comes.
func TestAtomicFragment(t *testing.T) {
	w := newWorld(t, 0, fromAlice())
	pkt := fragment(udp(a6, 1, b6, 2), 7, 0, 16)
	for range 3 {
		w.want(filter.Pass, pkt, alice, bob)
	}
	w.want(filter.Pass, fragment(udp(b6, 2, a6, 1), 7, 0, 16), bob, alice)
	w.want(filter.ByDefault, fragment(udp(b6, 3, a6, 1), 7, 0, 16), bob, alice)
	if s := w.Stats(); s.Fragments != 0 || s.Flows != 1 {
		t.Errorf("Stats = %+v", s)
	}
}

// TestFragmentsOfAnswers: a fragmented answer passes as the flow does.
func TestFragmentsOfAnswers(t *testing.T) {
	w := newWorld(t, 0, fromAlice())
	answer := testutil.UDP(at(b4, 53), at(a4, 1), make([]byte, 72))
	w.want(filter.ByDefault, fragment(answer, 7, 0, 24), bob, alice)
	w.want(filter.Pass, udp(a4, 1, b4, 53), alice, bob)
	w.want(filter.Pass, fragment(answer, 7, 0, 24), bob, alice)
	w.want(filter.Pass, fragment(answer, 7, 24, 80), bob, alice)
}

func TestFragmentsEnd(t *testing.T) {
	whole := testutil.UDP(at(a4, 1), at(b4, 2), make([]byte, 72))
	w := newWorld(t, 0, fromAlice())
	w.want(filter.Pass, fragment(whole, 7, 0, 24), alice, bob)
	w.clock.advance(20 * time.Second)
	w.want(filter.Pass, fragment(whole, 7, 24, 32), alice, bob)
	w.clock.advance(10 * time.Second) // a fragment does not make the time longer
	w.want(filter.Pass, fragment(whole, 7, 32, 40), alice, bob)
	w.clock.advance(1)
	w.want(filter.FragmentFirst, fragment(whole, 7, 40, 80), alice, bob)

	w.want(filter.Pass, fragment(whole, 8, 0, 24), alice, bob)
	if err := w.SetRules([]filter.Rule{{Action: filter.Deny}}); err != nil {
		t.Fatal(err)
	}
	w.want(filter.Pass, fragment(whole, 8, 24, 80), alice, bob) // the rest of it
	w.want(filter.ByRule, fragment(whole, 9, 0, 24), alice, bob)
	w.want(filter.FragmentFirst, fragment(whole, 9, 24, 80), alice, bob)
}

// TestFragmentsAreBounded: more datagrams than are followed; a party that never sends
// the rest does not end those of another.
func TestFragmentsAreBounded(t *testing.T) {
	w := newWorld(t, 0, filter.Rule{})
	his := testutil.UDP(at(b4, 1), at(a4, 2), make([]byte, 72))
	for id := range uint32(100) {
		w.want(filter.Pass, fragment(his, id, 0, 24), bob, alice)
	}
	hers := testutil.UDP(at(a4, 1), at(b4, 2), make([]byte, 72))
	for id := range uint32(5000) {
		w.want(filter.Pass, fragment(hers, id, 0, 24), alice, bob)
	}
	if s := w.Stats(); s.Fragments != 1024 || s.Evicted != 0 {
		t.Errorf("%d datagrams, want 1024; %d flows evicted, want 0", s.Fragments, s.Evicted)
	}
	w.check()
	for id := range uint32(100) {
		w.want(filter.Pass, fragment(his, id, 24, 80), bob, alice)
	}
	w.want(filter.FragmentFirst, fragment(hers, 0, 24, 80), alice, bob)
	w.want(filter.Pass, fragment(hers, 4999, 24, 80), alice, bob)
}
