// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/capture"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

var (
	alice = capture.Key{1}
	bob   = capture.Key{2}

	errNoPeer = errors.New("no such peer")
)

func peerNamed(name string) (capture.Key, error) {
	switch name {
	case "alice":
		return alice, nil
	case "bob's phone":
		return bob, nil
	}
	return capture.Key{}, errNoPeer
}

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// samples are packets by name.
func samples() map[string]*capture.Packet {
	now := time.Unix(1, 0)
	tcp := func(src, dst string) []byte { return (&testutil.TCP{Src: at(src), Dst: at(dst)}).Packet() }
	inner := func(sent bool, peer capture.Key, data []byte) *capture.Packet {
		return &capture.Packet{At: now, Side: capture.Inner, Sent: sent, Peer: peer, Known: peer != capture.Key{}, Data: data}
	}
	return map[string]*capture.Packet{
		"web":    inner(true, alice, tcp("10.0.0.1:1000", "10.9.0.2:443")),
		"answer": inner(false, alice, tcp("10.9.0.2:443", "10.0.0.1:1000")),
		"dns":    inner(true, bob, testutil.UDP(at("[fd00::1]:5000"), at("[fd00::2]:53"), []byte("question"))),
		"ping":   inner(false, bob, testutil.Echo(netip.MustParseAddr("10.9.0.3"), netip.MustParseAddr("10.0.0.1"), 1, 1, nil)),
		"ping6":  inner(true, capture.Key{}, testutil.Echo(netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::9"), 1, 1, nil)),
		"junk":   inner(false, alice, []byte{0x45, 1, 2, 3}),
		"wg": {At: now, Side: capture.Outer, Sent: true, Peer: alice, Known: true, Local: at("192.0.2.1:51820"),
			Remote: at("198.51.100.7:443"), Data: []byte{4, 0, 0, 0}},
		"wg6": {At: now, Side: capture.Outer, Local: at("[::]:51820"), Remote: at("[2001:db8::7]:51821"), Data: []byte{4, 0, 0, 0}},
	}
}

// wanted returns the names of those samples that the filter wants.
func wanted(t *testing.T, f *capture.Filter) string {
	t.Helper()
	var out []string
	for _, name := range []string{"web", "answer", "dns", "ping", "ping6", "junk", "wg", "wg6"} {
		if capture.Match(f, samples()[name]) {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

func TestFilter(t *testing.T) {
	const all = "web answer dns ping ping6 junk wg wg6"
	for _, test := range []struct{ text, want string }{
		{"", all},
		{"  \t", all},
		{"tcp", "web answer"},
		{"udp", "dns wg wg6"},
		{"icmp", "ping"},
		{"icmp6", "ping6"},
		{"ip", "web answer ping junk wg"},
		{"ip6", "dns ping6 wg6"},
		{"not ip", "dns ping6 wg6"},
		{"host 10.0.0.1", "web answer ping"},
		{"10.0.0.1", "web answer ping"},
		{"src host 10.0.0.1", "web"},
		{"src 10.0.0.1", "web"},
		{"dst 10.0.0.1", "answer ping"},
		{"src or dst 10.0.0.1", "web answer ping"},
		{"src and dst net 10", "web answer ping"},
		{"src and dst net 10.9", ""},
		{"tcp host 10.0.0.1", "web answer"},
		{"ip6 host fd00::2", "dns"},
		{"net 10.9.0.0/16", "web answer ping"},
		{"net fd00::/64", "dns ping6"},
		{"src net 10.9.0.0/24", "answer ping"},
		{"port 443", "web answer wg"},
		{"tcp port 443", "web answer"},
		{"tcp dst port 443", "web"},
		{"udp port 53 or 51820", "dns wg wg6"},
		{"portrange 50-1000", "web answer dns wg"},
		{"dst portrange 443-443", "web wg"},
		{"host 10.9.0.2 or 10.9.0.3", "web answer ping"},
		{"src host 10.9.0.2 or 10.0.0.1", "web answer"},
		{"peer alice", "web answer junk wg"},
		{`peer "bob's phone"`, "dns ping"},
		{"not peer alice", "dns ping ping6 wg6"},
		{"inbound", "answer ping junk wg6"},
		{"outbound and peer alice", "web wg"},
		{"outbound && !peer alice", "dns ping6"},
		// As tcpdump: and, or from left to right.
		{"icmp or tcp and port 443", "web answer"},
		{"icmp or (tcp and port 443)", "web answer ping"},
		{"not tcp and not udp", "ping ping6 junk"},
		{"not (tcp or udp)", "ping ping6 junk"},
		{"!(tcp||udp)", "ping ping6 junk"},
		{"tcp&&port 443", "web answer"},
		{"host 192.0.2.1", "wg"},
		{"dst host 198.51.100.7 and dst port 443", "wg"},
		{"src port 51821", "wg6"},
	} {
		f, err := capture.ParseFilter(test.text, peerNamed)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if got := wanted(t, f); got != test.want {
			t.Errorf("%q: got %s, want %s", test.text, got, test.want)
		}
		if got := f.String(); got != strings.TrimSpace(test.text) {
			t.Errorf("%q is shown as %q", test.text, got)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"prot", `"prot" at column 1: want host, net`},
		{"tcp port", "it ends early: want a port number"},
		{"tcp port http", `"http" at column 10: want a port number`},
		{"port 65536", `"65536" at column 6: want a port number`},
		{"port 1-2", `"1-2" at column 6: want a port number`},
		{"portrange 2-1", "want two port numbers"},
		{"host example.com", `"example.com" at column 6: want an IP address`},
		{"net 10.0.0.1/8", "want 10.0.0.0/8"},
		{"net x", "want a network"},
		{"net 1.2.3.4.5", "want a network"},
		{"icmp port 7", "want no port: icmp has none"},
		{"ip host ::1", "want an address of ip"},
		{"ip6 net 10.0.0.0/8", "want an address of ip6"},
		{"tcp udp", `"udp" at column 5: want "and", "or" or the end`},
		{"(tcp", `want "and", "or" or ")"`},
		{"tcp)", `")" at column 4: want "and"`},
		{"and tcp", `"and" at column 1`},
		{"tcp and", "it ends early"},
		{"not", "it ends early"},
		{"src", "it ends early: want host, net, port"},
		{"src or dst", "it ends early"},
		{"peer", "it ends early: want the name of a peer"},
		{"peer (", "want the name of a peer"},
		{"peer mallory", `peer "mallory": no such peer`},
		{`peer "alice`, "want a second quotation mark"},
		{strings.Repeat("(", 100), "want fewer parentheses"},
		{strings.Repeat("tcp ", 5000), "want a shorter filter"},
	} {
		f, err := capture.ParseFilter(test.text, peerNamed)
		if f != nil || err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "filter: ") {
			t.Errorf("%.40q: got %v, want %s", test.text, err, test.want)
		}
	}
	if _, err := capture.ParseFilter("peer mallory", peerNamed); !errors.Is(err, errNoPeer) {
		t.Errorf("got %v, want what the peer's name was answered with", err)
	}
	var wrong *capture.FilterError
	if _, err := capture.ParseFilter("tcp prot 7", peerNamed); !errors.As(err, &wrong) || wrong.Word != "prot" || wrong.At != 4 {
		t.Errorf("got %+v", wrong)
	}
}

// FuzzParseFilter: any text is a filter or an error, never both, and a filter that is
// taken says the same when it is read again from what it shows; its negation says the
// opposite of every packet.
func FuzzParseFilter(f *testing.F) {
	for _, text := range []string{"", "tcp port 80 or 443", "not (src or dst net 10 and peer alice)", "ip6 host ::1 || portrange 1-2", `peer "bob's phone"`, "!!udp", "((", "src and dst"} {
		f.Add(text)
	}
	packets := samples()
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := capture.ParseFilter(text, peerNamed)
		if err != nil {
			if filter != nil {
				t.Fatal("both a filter and an error")
			}
			return
		}
		again, err := capture.ParseFilter(filter.String(), peerNamed)
		if err != nil {
			t.Fatalf("%q again: %v", filter, err)
		}
		opposite, err := capture.ParseFilter("not ("+filter.String()+")", peerNamed)
		for name, p := range packets {
			yes := capture.Match(filter, p)
			if capture.Match(again, p) != yes {
				t.Fatalf("%s: read again it says something else", name)
			}
			// An empty one has no opposite; one as deep as may be neither.
			if err == nil && capture.Match(opposite, p) == yes {
				t.Fatalf("%s: its opposite says the same", name)
			}
		}
	})
}
