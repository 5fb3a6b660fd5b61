// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A parsed is a packet with what its headers say.
type parsed struct {
	pkt []byte
	inner.Packet
}

func parse(tb testing.TB, pkt []byte) *parsed {
	tb.Helper()
	p := &parsed{pkt: pkt}
	if problem := p.Parse(pkt); problem != inner.OK {
		tb.Fatal(problem)
	}
	return p
}

// hundred are rules of which only the last matches the packets of the benchmarks.
func hundred() []filter.Rule {
	rules := make([]filter.Rule, 100)
	for i := range rules {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 24)
		rules[i] = filter.Rule{
			From: filter.End{Parties: []filter.Party{filter.Party(1000 + i)}}, To: filter.End{Prefixes: []netip.Prefix{prefix}},
			Protocol: inner.TCP, Ports: []filter.PortRange{{First: 443, Last: 443}}, Text: fmt.Sprint(i),
		}
	}
	rules[99] = filter.Rule{}
	return rules
}

// TestVerdictNoAllocs covers known flows in the memory of the batch and beyond it, with
// and without flags, errors about them, fragments, new flows in a full table, and denials.
func TestVerdictNoAllocs(t *testing.T) {
	f, err := filter.New([]filter.Rule{{Action: filter.Deny, Protocol: 99}, {From: filter.End{Peers: true}}}, &filter.Options{MaxFlows: 500})
	if err != nil {
		t.Fatal(err)
	}
	var pkts []*parsed
	for i := range 1000 { // more than there is room for: all of them are new again each time
		pkts = append(pkts, parse(t, udp(a4, uint16(i), b4, 1)))
	}
	for range 5 {
		pkts = append(pkts, parse(t, tcp(inner.ACK, a6, 1, b6, 2)), parse(t, tcp(inner.SYN, a6, 1, b6, 2)), parse(t, echo(a4, b4, 1)),
			parse(t, other(a4, b4, 99, 1)), parse(t, other(a4, b4, inner.UDP, 1)),
			parse(t, fragment(udp(a4, 1, b4, 2), 1, 0, 8)), parse(t, fragment(udp(a4, 1, b4, 2), 1, 8, 16)),
			parse(t, icmpError(router4, a4, 3, udp(a4, 999, b4, 1))))
	}
	var b filter.Batch
	run := func() {
		b.Reset()
		for _, p := range pkts {
			f.Verdict(&b, &p.Packet, p.pkt, alice, bob)
		}
	}
	run()
	if n := testing.AllocsPerRun(10, run); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if s := f.Stats(); s.Evicted < 1000 || s.Denied[filter.ByRule] == 0 || s.Denied[filter.Transport] == 0 {
		t.Errorf("Stats = %+v: not all of it was covered", s)
	}
}

// BenchmarkVerdict judges a packet at a time. In known a batch of 64 has packets of 8
// flows, as a busy link has; in spread each packet of 64 is of another of 4,096 known flows, so
// that the batch remembers none; in new each begins a flow in a full table.
func BenchmarkVerdict(b *testing.B) {
	one, all := []filter.Rule{{Text: "all"}}, hundred()
	flows := func(n int) []*parsed {
		pkts := make([]*parsed, n)
		for i := range pkts {
			pkts[i] = parse(b, tcp(inner.ACK, a4, uint16(i), b4, uint16(i>>16)+1))
		}
		return pkts
	}
	few := make([]*parsed, 64)
	for i := range few {
		few[i] = flows(8)[i%8]
	}
	many, fresh := flows(4096), flows(1<<18)
	for _, bm := range []struct {
		name  string
		rules []filter.Rule
		pkts  []*parsed
	}{
		{"known", one, few}, {"spread", one, many}, {"new", one, fresh},
		{"rules100/known", all, few}, {"rules100/spread", all, many}, {"rules100/new", all, fresh},
	} {
		b.Run(bm.name, func(b *testing.B) {
			f, err := filter.New(bm.rules, nil)
			if err != nil {
				b.Fatal(err)
			}
			var batch filter.Batch
			for _, p := range bm.pkts {
				f.Verdict(&batch, &p.Packet, p.pkt, alice, bob)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i%64 == 0 {
					batch.Reset()
				}
				p := bm.pkts[i&(len(bm.pkts)-1)]
				if reason := f.Verdict(&batch, &p.Packet, p.pkt, alice, bob); reason != filter.Pass {
					b.Fatal(reason)
				}
				i++
			}
		})
	}
}

// BenchmarkVerdictParallel is known with a batch per goroutine, as the queues of a TUN are.
func BenchmarkVerdictParallel(b *testing.B) {
	f, err := filter.New([]filter.Rule{{}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		p := parse(b, tcp(inner.ACK, a4, 1, b4, 2))
		var batch filter.Batch
		for i := 0; pb.Next(); i++ {
			if i%64 == 0 {
				batch.Reset()
			}
			f.Verdict(&batch, &p.Packet, p.pkt, alice, bob)
		}
	})
}
