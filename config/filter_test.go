// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
)

// filterHead is a file with two peers, up to the first line of its [Filter].
const filterHead = "[Interface]\nPrivateKey = " + testPrivate + "\n[Peer]\nPublicKey = " + peerA +
	"\n[Peer]\nPublicKey = " + peerB + "\n[Filter]\nPeers = laptop " + peerA + "\nPeers = both " + peerA + "," + peerB + "\n"

func ports(pairs ...uint16) []config.PortRange {
	var list []config.PortRange
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, config.PortRange{First: pairs[i], Last: pairs[i+1]})
	}
	return list
}

// TestFilterRules reads each form of a rule, and wants it back in its normal form.
func TestFilterRules(t *testing.T) {
	keys := func(texts ...string) []config.Key {
		var ks []config.Key
		for _, text := range texts {
			ks = append(ks, mustKey(t, text))
		}
		return ks
	}
	tests := []struct {
		text, normal string
		want         config.FilterRule
	}{
		{"any", "any", config.FilterRule{}},
		{"ANY", "any", config.FilterRule{}},
		{"from any to any", "any", config.FilterRule{}},
		{"from host", "from host", config.FilterRule{From: config.FilterEnd{Host: true}}},
		{"to peers", "to peers", config.FilterRule{To: config.FilterEnd{Peers: true}}},
		{"to peers from host", "from host to peers", config.FilterRule{From: config.FilterEnd{Host: true}, To: config.FilterEnd{Peers: true}}},
		{"FROM Host ,peers", "from host,peers", config.FilterRule{From: config.FilterEnd{Host: true, Peers: true}}},
		{"from laptop", "from laptop", config.FilterRule{From: config.FilterEnd{Names: []string{"laptop"}}}},
		{"from LAPTOP, both,laptop", "from laptop,both", config.FilterRule{From: config.FilterEnd{Names: []string{"laptop", "both"}}}},
		{"to later", "to later", config.FilterRule{To: config.FilterEnd{Names: []string{"later"}}}},
		{"to " + peerB + "," + peerA + ", " + peerB, "to " + peerB + "," + peerA, config.FilterRule{To: config.FilterEnd{Keys: keys(peerB, peerA)}}},
		{"to 10.0.0.5", "to 10.0.0.5/32", config.FilterRule{To: config.FilterEnd{Prefixes: prefixes("10.0.0.5/32")}}},
		{"to fd00::5,10.0.0.0/8,fd00::5/128", "to fd00::5/128,10.0.0.0/8", config.FilterRule{To: config.FilterEnd{Prefixes: prefixes("fd00::5/128", "10.0.0.0/8")}}},
		{"to 10.0.0.0/8 , host", "to host,10.0.0.0/8", config.FilterRule{To: config.FilterEnd{Host: true, Prefixes: prefixes("10.0.0.0/8")}}},
		{"to ::/0", "to ::/0", config.FilterRule{To: config.FilterEnd{Prefixes: prefixes("::/0")}}},
		{"proto tcp", "proto tcp", config.FilterRule{Protocol: 6}},
		{"proto UDP", "proto udp", config.FilterRule{Protocol: 17}},
		{"proto icmp", "proto icmp", config.FilterRule{Protocol: 1}},
		{"proto 1", "proto icmp", config.FilterRule{Protocol: 1}},
		{"proto 58", "proto 58", config.FilterRule{Protocol: 58}},
		{"proto 255", "proto 255", config.FilterRule{Protocol: 255}},
		{"proto tcp port 22", "proto tcp port 22", config.FilterRule{Protocol: 6, Ports: ports(22, 22)}},
		{"port 53,1-0100, 0 proto 17", "proto udp port 53,1-100,0", config.FilterRule{Protocol: 17, Ports: ports(53, 53, 1, 100, 0, 0)}},
		{"proto udp sport 0-65535 port 65535", "proto udp sport 0-65535 port 65535",
			config.FilterRule{Protocol: 17, SourcePorts: ports(0, 65535), Ports: ports(65535, 65535)}},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			for word, deny := range map[string]bool{"Allow": false, "Deny": true} {
				c := mustParse(t, filterHead+word+" =  "+tt.text+" # comment\nPeers = later "+peerB+"\n")
				want := tt.want
				want.Deny = deny
				if diff := cmp.Diff([]config.FilterRule{want}, c.Filter.Rules, same()); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
				r := c.Filter.Rules[0]
				if r.Line != 10 || r.Text != word+" = "+tt.text || r.String() != tt.normal {
					t.Errorf("Line %d, Text %q, String %q, want 10, the line and %q", r.Line, r.Text, r, tt.normal)
				}
				checkWritten(t, c)
			}
		})
	}
}

func TestFilterNames(t *testing.T) {
	c := mustParse(t, filterHead+"Allow = from laptop, "+peerB+" to both\n")
	a, b := mustKey(t, peerA), mustKey(t, peerB)
	want := []config.FilterName{{Name: "laptop", Keys: []config.Key{a}}, {Name: "both", Keys: []config.Key{a, b}}}
	if diff := cmp.Diff(want, c.Filter.Names, same()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c.Filter.Names[1].Line != 9 {
		t.Errorf("Line = %d, want 9", c.Filter.Names[1].Line)
	}
	for name, tt := range map[string]struct {
		end  config.FilterEnd
		want []config.Key
	}{
		"name and key":  {c.Filter.Rules[0].From, []config.Key{a, b}},
		"name of two":   {c.Filter.Rules[0].To, []config.Key{a, b}},
		"the same once": {config.FilterEnd{Names: []string{"both", "laptop"}, Keys: []config.Key{b}}, []config.Key{a, b}},
		"none":          {config.FilterEnd{Host: true}, nil},
		"unknown":       {config.FilterEnd{Names: []string{"other"}}, nil},
	} {
		if diff := cmp.Diff(tt.want, c.Filter.Keys(tt.end), same()); diff != "" {
			t.Errorf("%s: keys (-want +got):\n%s", name, diff)
		}
	}
}

// TestFilterSections: lines of several sections, in any order with the peers, are one filter.
func TestFilterSections(t *testing.T) {
	c := mustParse(t, "[filter]\nallow = to web\n[Interface]\nPrivateKey = "+testPrivate+"\n[FILTER]\nDENY=any\nPeers=web "+peerA+
		"\n[Peer]\nPublicKey = "+peerA)
	var got []string
	for _, r := range c.Filter.Rules {
		got = append(got, r.Text)
	}
	if diff := cmp.Diff([]string{"Allow = to web", "Deny = any"}, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings:\n%s", lines(c.Warnings))
	}
}

// TestFilterIsNotLogged: a Config with a filter is logged as before.
func TestFilterIsNotLogged(t *testing.T) {
	c := mustParse(t, filterHead+"Allow = any\n")
	plain := *c
	plain.Filter = config.Filter{}
	if c.LogValue().String() != plain.LogValue().String() || strings.Contains(c.LogValue().String(), "laptop") {
		t.Errorf("LogValue = %s", c.LogValue())
	}
}
