// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"bytes"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// FuzzVerdict judges any packet from alice to bob by a rule with any conditions, and
// then what looks like its answer. The packet never makes anything panic and stays
// as it is; denied, it leaves no state; the answer passes if and only if the packet
// did, between the same two.
func FuzzVerdict(f *testing.F) {
	request := udp(a4, 5000, b4, 53)
	for _, pkt := range [][]byte{
		request, udp(a6, 1, b6, 2), tcp(inner.SYN, a4, 1, b4, 443), tcp(inner.FIN|inner.RST, a6, 1, b6, 443),
		echo(a4, b4, 1), echo(a6, b6, 1), reply(a4, b4, 1), reply(a6, b6, 1), other(a4, b4, 47, 1), other(a6, b6, 59, 0),
		fragment(request, 1, 0, 8), fragment(request, 1, 8, 16), fragment(udp(a6, 1, b6, 2), 1, 0, 16),
		icmpError(a4, b4, 3, udp(b4, 1, a4, 2)), icmpError(a6, b6, 2, udp(b6, 1, a6, 2)), nil,
	} {
		f.Add(pkt, uint8(0), uint16(0), uint8(0))
		f.Add(pkt, uint8(inner.UDP), uint16(53), uint8(8))
		f.Add(pkt, uint8(inner.ICMP), uint16(0), uint8(32))
	}
	f.Fuzz(func(t *testing.T, pkt []byte, protocol uint8, port uint16, bits uint8) {
		mend(pkt)
		var p inner.Packet
		if p.Parse(pkt) != inner.OK {
			return
		}
		rule := fromAlice()
		rule.Protocol = protocol
		if protocol == inner.TCP || protocol == inner.UDP {
			rule.Ports = []filter.PortRange{{First: min(port, 53), Last: port}}
		}
		if dst, err := p.Dst.Prefix(min(int(bits), p.Dst.BitLen())); err == nil && bits > 0 {
			rule.To.Prefixes = append(prefixes("10.0.1.0/24", "fd00:1::/64"), dst)
		}
		w := newWorld(t, 0, rule)
		before := bytes.Clone(pkt)
		verdict := w.judge(pkt, alice, bob)
		if !bytes.Equal(before, pkt) {
			t.Fatal("the packet was changed")
		}
		w.check()
		s := w.Stats()
		if verdict != filter.Pass && (s.Flows != 0 || s.Fragments != 0 || s.Rules[0].Packets != 0 || s.Denied[verdict] != 1) {
			t.Fatalf("%v, but Stats = %+v", verdict, s)
		}
		if verdict == filter.Pass && s.Rules[0].Packets != 1 {
			t.Fatalf("Stats = %+v", s)
		}
		checkAnswer(w, &p, pkt, verdict == filter.Pass)
	})
}

// checkAnswer judges the answer to a packet from alice to bob.
func checkAnswer(w *world, p *inner.Packet, pkt []byte, passed bool) {
	w.Helper()
	isICMP := p.Protocol == inner.ICMP || p.Protocol == inner.ICMPv6
	if p.Transport == 0 || p.Fragment || isICMP && !p.IsEcho() {
		return // has no answer
	}
	answer := bytes.Clone(pkt)
	src, size := 12, 4
	if p.Src.Is6() {
		src, size = 8, 16
	}
	swap(answer[src:src+size], answer[src+size:src+2*size])
	ports := answer[p.Transport:]
	switch p.Protocol {
	case inner.TCP:
		ports[13] = ports[13]&^inner.SYN | inner.ACK
		fallthrough
	case inner.UDP:
		swap(ports[:2], ports[2:4])
	case inner.ICMP, inner.ICMPv6:
		request, reply := byte(8), byte(0)
		if p.Src.Is6() {
			request, reply = 128, 129
		}
		if ports[0] == request {
			ports[0] = reply
		} else {
			ports[0], passed = request, false // an answer lets no question through
		}
	}
	want := filter.ByDefault
	if passed {
		want = filter.Pass
	}
	w.want(want, answer, bob, alice)
	w.want(filter.ByDefault, answer, carol, alice)
	w.want(filter.ByDefault, answer, bob, host)
	w.check()
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// mend makes the length and the checksum of the IP header right, where there is one.
func mend(pkt []byte) {
	switch {
	case len(pkt) >= 20 && len(pkt) <= 0xffff && pkt[0]>>4 == 4 && pkt[0]&15 >= 5 && int(pkt[0]&15)*4 <= len(pkt),
		len(pkt) >= 40 && len(pkt) <= 0xffff && pkt[0]>>4 == 6:
		seal(pkt)
	}
}

// FuzzFragments sends fragments of one datagram in any order and of any size: those that
// pass begin with one that has the header, and no two of them overlap.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{0, 3, 3, 6, 6, 10}, false)
	f.Add([]byte{0, 2, 1, 3, 2, 10}, true)
	f.Add([]byte{3, 6, 0, 3, 0, 3, 3, 6, 6, 10}, false)
	f.Add([]byte{0, 10, 0, 3, 0, 3}, true)
	f.Fuzz(func(t *testing.T, cuts []byte, v6 bool) {
		whole := testutil.UDP(at(a4, 1), at(b4, 2), make([]byte, 72))
		if v6 {
			whole = testutil.UDP(at(a6, 1), at(b6, 2), make([]byte, 72))
		}
		w := newWorld(t, 0, filter.Rule{})
		var seen [10]bool // units of 8 bytes that have passed
		for ; len(cuts) >= 2; cuts = cuts[2:] {
			offset, end := int(cuts[0]%10), int(cuts[1]%10)+1
			if end <= offset || offset == 0 && end == 10 {
				continue
			}
			if w.judge(fragment(whole, 7, offset*8, end*8), alice, bob) == filter.Pass {
				if offset > 0 && !seen[0] {
					t.Fatal("a later fragment passed before the first")
				}
				for i := offset; i < end; i++ {
					if seen[i] {
						t.Fatalf("unit %d passed twice", i)
					}
					seen[i] = true
				}
				if seen == [10]bool{true, true, true, true, true, true, true, true, true, true} {
					seen = [10]bool{} // the identification is free again
				}
			}
			w.check()
		}
	})
}
