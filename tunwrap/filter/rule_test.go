// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// TestRules judges packets of each protocol and family by one rule; none but the rule lets them pass.
func TestRules(t *testing.T) {
	any := filter.End{}
	end := func(parties ...filter.Party) filter.End { return filter.End{Parties: parties} }
	net := func(texts ...string) filter.End { return filter.End{Prefixes: prefixes(texts...)} }
	port := func(first, last uint16) []filter.PortRange {
		return []filter.PortRange{{First: 1, Last: 1}, {First: first, Last: last}}
	}
	dns4, dns6 := udp(a4, 5000, b4, 53), udp(a6, 5000, b6, 53)
	web4, web6 := tcp(inner.SYN, a4, 5000, b4, 443), tcp(inner.SYN, a6, 5000, b6, 443)
	ping4, ping6 := echo(a4, b4, 7), echo(a6, b6, 7)
	gre4, gre6 := other(a4, b4, 47, 4), other(a6, b6, 47, 4)
	all := [][]byte{dns4, dns6, web4, web6, ping4, ping6, gre4, gre6}
	tests := []struct {
		name string
		rule filter.Rule
		pass [][]byte // from alice to bob; the others of all are denied
	}{
		{"everything", filter.Rule{}, all},
		{"from her", filter.Rule{From: end(alice)}, all},
		{"from several", filter.Rule{From: end(carol, 9, alice, 4)}, all},
		{"from others", filter.Rule{From: end(bob, carol)}, nil},
		{"from the host", filter.Rule{From: filter.End{Host: true}}, nil},
		{"from peers", filter.Rule{From: filter.End{Peers: true}}, all},
		{"to peers", filter.Rule{To: filter.End{Peers: true}}, all},
		{"to the host", filter.Rule{To: filter.End{Host: true}}, nil},
		{"to him", filter.Rule{From: any, To: end(bob)}, all},
		{"from her to her", filter.Rule{From: end(alice), To: end(alice)}, nil},
		{"host or address", filter.Rule{From: filter.End{Host: true, Prefixes: prefixes("10.0.0.0/24")}}, [][]byte{dns4, web4, ping4, gre4}},
		{"from address", filter.Rule{From: net(a4 + "/32")}, [][]byte{dns4, web4, ping4, gre4}},
		{"from other address", filter.Rule{From: net("10.0.0.3/32", "fd00::3/128")}, nil},
		{"to address", filter.Rule{To: net("192.0.2.0/24", b6+"/128")}, [][]byte{dns6, web6, ping6, gre6}},
		{"to range", filter.Rule{To: net("10.0.1.0/25", "fd00:1::/33")}, all},
		{"to range not masked", filter.Rule{To: net("10.0.1.99/24", "fd00:1::99/64")}, all},
		{"to half", filter.Rule{To: net("fd00:1::2/127")}, [][]byte{dns6, web6, ping6, gre6}},
		{"to the other half", filter.Rule{To: net("fd00:1::/127", "10.0.1.0/31")}, nil},
		{"all IPv4", filter.Rule{From: net("0.0.0.0/0")}, [][]byte{dns4, web4, ping4, gre4}},
		{"all IPv6", filter.Rule{To: net("::/0")}, [][]byte{dns6, web6, ping6, gre6}},
		{"udp", filter.Rule{Protocol: inner.UDP}, [][]byte{dns4, dns6}},
		{"tcp", filter.Rule{Protocol: inner.TCP}, [][]byte{web4, web6}},
		{"icmp", filter.Rule{Protocol: inner.ICMP}, [][]byte{ping4, ping6}},
		{"icmpv6", filter.Rule{Protocol: inner.ICMPv6}, [][]byte{ping6}},
		{"gre", filter.Rule{Protocol: 47}, [][]byte{gre4, gre6}},
		{"port", filter.Rule{Protocol: inner.UDP, Ports: port(53, 53)}, [][]byte{dns4, dns6}},
		{"port range", filter.Rule{Protocol: inner.TCP, Ports: port(400, 443)}, [][]byte{web4, web6}},
		{"port below", filter.Rule{Protocol: inner.TCP, Ports: port(400, 442)}, nil},
		{"port above", filter.Rule{Protocol: inner.TCP, Ports: port(444, 65535)}, nil},
		{"source port", filter.Rule{Protocol: inner.TCP, SourcePorts: port(5000, 6000)}, [][]byte{web4, web6}},
		{"source port as port", filter.Rule{Protocol: inner.TCP, SourcePorts: port(443, 443)}, nil},
		{"all of it", filter.Rule{From: net("10.0.0.0/8"), To: end(bob), Protocol: inner.UDP, SourcePorts: port(5000, 5000), Ports: port(53, 53)}, [][]byte{dns4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 0, tt.rule)
			deny := tt.rule
			deny.Action = filter.Deny
			not := newWorld(t, 0, deny, filter.Rule{})
			for i, pkt := range all {
				want, wantNot := filter.ByDefault, filter.Pass
				for _, pass := range tt.pass {
					if &pass[0] == &pkt[0] {
						want, wantNot = filter.Pass, filter.ByRule
					}
				}
				if got := w.judge(pkt, alice, bob); got != want {
					t.Errorf("packet %d: %v, want %v", i, got, want)
				}
				if got := not.judge(pkt, alice, bob); got != wantNot {
					t.Errorf("packet %d, denied by the rule: %v, want %v", i, got, wantNot)
				}
			}
			w.flows(len(tt.pass))
			not.flows(len(all) - len(tt.pass))
		})
	}
}

// TestFirstRuleDecides: the order matters, and the counters are those of the rule.
func TestFirstRuleDecides(t *testing.T) {
	rules := []filter.Rule{
		{From: filter.End{Parties: []filter.Party{alice}}, Protocol: inner.TCP, Text: "alice", Line: 3},
		{Action: filter.Deny, Protocol: inner.TCP, Text: "no tcp", Line: 4},
		{Text: "rest", Line: 5},
	}
	w := newWorld(t, 0, rules...)
	w.want(filter.Pass, tcp(inner.SYN, a4, 1, h4, 22), alice, host)
	w.want(filter.ByRule, tcp(inner.SYN, b4, 1, h4, 22), bob, host)
	w.want(filter.Pass, udp(b4, 1, h4, 22), bob, host)
	w.want(filter.Pass, udp(b4, 1, h4, 22), bob, host)
	s := w.Stats()
	want := []filter.RuleStats{
		{Text: "alice", Line: 3, Packets: 1, Bytes: 40},
		{Text: "no tcp", Line: 4, Packets: 1, Bytes: 40},
		{Text: "rest", Line: 5, Packets: 2, Bytes: 72},
	}
	for i := range want {
		if s.Rules[i] != want[i] {
			t.Errorf("rule %d: %+v, want %+v", i, s.Rules[i], want[i])
		}
	}
	if s.Denied[filter.ByRule] != 1 || s.Denied[filter.ByDefault] != 0 || s.DeniedBytes != 40 {
		t.Errorf("Stats = %+v", s)
	}
}

// TestICMPOfTheOtherFamily: protocol 1 in IPv6 is not ICMP, nor is 58 in IPv4 ICMPv6.
func TestICMPOfTheOtherFamily(t *testing.T) {
	w := newWorld(t, 0, filter.Rule{Protocol: inner.ICMP})
	w.want(filter.ByDefault, other(a6, b6, inner.ICMP, 8), alice, bob)
	w.want(filter.ByDefault, other(a4, b4, inner.ICMPv6, 8), alice, bob)
	w.flows(0)
}

func TestDisabled(t *testing.T) {
	w := newWorld(t, 0)
	if w.Enabled() {
		t.Error("enabled without a rule")
	}
	w.want(filter.Pass, udp(a4, 1, b4, 2), alice, bob)
	w.want(filter.Pass, other(a4, b4, inner.TCP, 4), alice, bob) // not even a header
	w.flows(0)
	if err := w.SetRules([]filter.Rule{{Action: filter.Deny}}); err != nil || !w.Enabled() {
		t.Errorf("SetRules = %v, Enabled = %t", err, w.Enabled())
	}
	w.want(filter.ByRule, udp(a4, 1, b4, 2), alice, bob)
	if err := w.SetRules(nil); err != nil || w.Enabled() {
		t.Errorf("SetRules = %v, Enabled = %t", err, w.Enabled())
	}
	w.want(filter.Pass, udp(a4, 1, b4, 2), alice, bob)
}

// TestUnclassified: with a rule, even one that allows everything, what is not known is denied.
func TestUnclassified(t *testing.T) {
	w := newWorld(t, 0, filter.Rule{})
	for _, pkt := range [][]byte{
		other(a4, b4, inner.TCP, 19), other(a6, b6, inner.UDP, 7), other(a4, b4, inner.ICMP, 7), other(a6, b6, 59, 0),
	} {
		w.want(filter.Transport, pkt, alice, bob)
	}
	w.flows(0)
	if s := w.Stats(); s.Denied[filter.Transport] != 4 || s.Rules[0].Packets != 0 {
		t.Errorf("Stats = %+v", s)
	}
	// Bytes that the Packet is not of are an error of the caller, and no reason to panic.
	var p inner.Packet
	p.Parse(udp(a4, 1, b4, 2))
	for _, pkt := range [][]byte{nil, make([]byte, 60), {0x45}, {0x60}} {
		if got := w.Verdict(&w.batch, &p, pkt, alice, bob); got != filter.Transport {
			t.Errorf("verdict %v about %d foreign bytes", got, len(pkt))
		}
	}
}

func TestInvalidRules(t *testing.T) {
	ports := []filter.PortRange{{First: 1, Last: 2}}
	tests := []struct {
		name string
		rule filter.Rule
		want string
	}{
		{"action", filter.Rule{Action: 7}, "unknown action 7"},
		{"prefix", filter.Rule{From: filter.End{Prefixes: []netip.Prefix{{}}}}, "invalid prefix"},
		{"mapped prefix", filter.Rule{To: filter.End{Prefixes: prefixes("::ffff:10.0.0.0/104")}}, "IPv4 in IPv6 form"},
		{"ports of all", filter.Rule{Ports: ports}, "ports with protocol 0"},
		{"ports of ICMP", filter.Rule{Protocol: inner.ICMP, SourcePorts: ports}, "ports with protocol 1"},
		{"reversed", filter.Rule{Protocol: inner.UDP, Ports: []filter.PortRange{{First: 2, Last: 1}}}, "port range 2-1"},
		{"source reversed", filter.Rule{Protocol: inner.UDP, SourcePorts: []filter.PortRange{{First: 2, Last: 1}}}, "port range 2-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.rule.Text = "text of it"
			rules := []filter.Rule{{}, tt.rule}
			if f, err := filter.New(rules, nil); f != nil || err == nil || !strings.Contains(err.Error(), tt.want) ||
				!strings.Contains(err.Error(), "rule 2 \"text of it\"") {
				t.Errorf("New = %v, %v, want %q", f, err, tt.want)
			}
			w := newWorld(t, 0, filter.Rule{Action: filter.Deny})
			if err := w.SetRules(rules); err == nil {
				t.Error("SetRules took it")
			}
			w.want(filter.ByRule, udp(a4, 1, b4, 2), alice, bob) // the old ones are in force
		})
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{"unknown": true}
	for r := range filter.Reason(filter.Reasons) {
		if seen[r.String()] {
			t.Errorf("reason %d is called %q", r, r)
		}
		seen[r.String()] = true
	}
	if got := filter.Reason(filter.Reasons).String(); got != "unknown" {
		t.Errorf("past the last reason: %q", got)
	}
	if filter.Allow.String() != "allow" || filter.Deny.String() != "deny" || filter.Action(9).String() != "Action(9)" {
		t.Error("names of actions")
	}
}
