// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"golang.org/x/sys/unix"
)

// filterSections is the hub of TestFilterPackets: x is inside, y outside.
func filterSections(x, y lab.Key) string {
	return forwardingOn + fmt.Sprintf(`
[Filter]
Peers = inside %s
Peers = outside %s
Deny = from inside to outside proto udp port 54-60
Allow = from inside to outside proto tcp port 22, 8000-8010
Allow = from inside to outside proto udp port 53, 54
Allow = from inside to outside proto icmp
Allow = from inside to host proto icmp
`, x, y)
}

// TestFilterPackets sends single packets of every kind through the filter of a
// hub: what the rules allow arrives, what answers it comes back, nothing else
// does. The peers have no IP stack: nothing but the hub decides.
func TestFilterPackets(t *testing.T) {
	bin := router(t)
	t.Parallel()
	s := newSpeakers(t, bin, false, filterSections)
	check := func(name string, from, to *traffic.Speaker, marker traffic.Packet, sent, arrive []traffic.Packet) {
		t.Helper()
		var raw [][]byte
		for _, p := range sent {
			raw = append(raw, p.Bytes())
		}
		got := pass(t, from, to, marker, raw...)
		if len(got) != len(arrive) {
			t.Errorf("%s: %d of %d packets arrive, want %d: %x", name, len(got), len(sent), len(arrive), got)
			return
		}
		for i, p := range arrive {
			if want := forwarded(p); !bytes.Equal(got[i], want) {
				t.Errorf("%s: packet %d is %x, want %x", name, i, got[i], want)
			}
		}
	}
	for _, c := range outgoing() {
		arrive := c.packets
		if c.arrive >= 0 {
			arrive = c.packets[:c.arrive]
		}
		check(c.name, s.x, s.y, s.marker(x4(5000), y4(53)), c.packets, arrive)
	}

	// The other way only answers pass: to this among others.
	pass(t, s.x, s.y, s.marker(x4(5001), y4(53)))
	pass(t, s.y, s.x, s.marker(y4(53), x4(5001))) // and what the hub told x until now
	for _, c := range incoming() {
		arrive := c.packets
		if c.arrive >= 0 {
			arrive = c.packets[:c.arrive]
		}
		check(c.name, s.y, s.x, s.marker(y4(53), x4(5001)), c.packets, arrive)
	}

	// Both ways count for the rule that allowed the flow.
	before := filterCounters(t, bin, s)
	denied := udp(x4(6000), y4(55), "no").Bytes()
	pass(t, s.x, s.y, s.marker(x4(6000), y4(53)), denied, denied, denied)
	pass(t, s.y, s.x, s.marker(y4(53), x4(6000)), udp(y4(6000), x4(53), "no").Bytes())
	after := filterCounters(t, bin, s)
	for i, want := range []uint64{3, 0, 2, 0, 0} {
		if n := after.Rules[i].Packets - before.Rules[i].Packets; n != want {
			t.Errorf("rule %q has matched %d packets, want %d", after.Rules[i].Text, n, want)
		}
	}
	if n := after.Denied["default"] - before.Denied["default"]; n < 1 || after.Flows < 1 {
		t.Errorf("%d denied by default, %d flows", n, after.Flows)
	}

	// The host is an end of its own: it hears x, and not y.
	hub := lab.HubTunnel4
	if err := s.y.Send(echo(y4(0).Addr(), hub, false, 1).Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := s.x.Send(echo(x4(0).Addr(), hub, false, 2).Bytes()); err != nil {
		t.Fatal(err)
	}
	reply := echo(hub, x4(0).Addr(), true, 2)
	if _, err := s.x.ReceiveUntil(func(p []byte) bool { return len(p) > 20 && p[9] == 1 && bytes.Equal(p[20:], reply.Payload) }); err != nil {
		t.Errorf("no answer of the host: %v", err)
	}
	if n := s.a.Counter("Icmp", "InEchos"); n != 1 {
		t.Errorf("the host has got %d pings, want that of x", n)
	}
}

// counters is what "router status --json" says of a filter with five rules.
type counters struct {
	Flows  int
	Denied map[string]uint64
	Rules  []struct {
		Text    string
		Packets uint64
	}
}

func filterCounters(t *testing.T, bin string, s *speakers) counters {
	t.Helper()
	var status map[string]struct{ Filter counters }
	if err := json.Unmarshal([]byte(s.a.Output(bin, "status", "wg0", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	c := status["wg0"].Filter
	if len(c.Rules) != 5 {
		t.Fatalf("status has the rules %v, want five", c.Rules)
	}
	return c
}

// A filterCase is packets of which the first so many arrive; -1 = all.
type filterCase struct {
	name    string
	arrive  int
	packets []traffic.Packet
}

// outgoing returns packets of x to y.
func outgoing() []filterCase {
	var all []filterCase
	add := func(name string, arrive int, packets ...traffic.Packet) {
		all = append(all, filterCase{name, arrive, packets})
	}
	for _, port := range []uint16{22, 8000, 8010} {
		add(fmt.Sprintf("SYN to %d", port), -1, tcp(x4(1000), y4(port), traffic.SYN), tcp(x6(1000), y6(port), traffic.SYN))
	}
	for _, port := range []uint16{0, 21, 23, 53, 7999, 8011, 65535} {
		add(fmt.Sprintf("TCP to %d", port), 0,
			tcp(x4(1000), y4(port), traffic.SYN), tcp(x6(1000), y6(port), traffic.SYN), tcp(x4(22), y4(port), traffic.SYN),
			tcp(x4(1001), y4(port), traffic.ACK), tcp(x4(1002), y4(port), traffic.FIN), tcp(x4(1003), y4(port), 0),
			tcp(x4(1004), y4(port), traffic.FIN|traffic.PSH|traffic.URG), tcp(x4(1005), y4(port), traffic.SYN|traffic.FIN), tcp(x4(1006), y4(port), traffic.RST))
	}
	add("UDP to 53", -1, udp(x4(1000), y4(53), "one"), udp(x4(1000), y4(53), "two"), udp(x6(1000), y6(53), "six"))
	for _, port := range []uint16{22, 54, 55, 8000} {
		add(fmt.Sprintf("UDP to %d", port), 0, udp(x4(1000), y4(port), "no"), udp(x6(1000), y6(port), "no"), udp(x4(53), y4(port), "no"))
	}
	add("echo", -1, echo(x4(0).Addr(), y4(0).Addr(), false, 4), echo(x6(0).Addr(), y6(0).Addr(), false, 6))
	for _, protocol := range []uint8{2, 4, 41, 47, 50, 132, 253, 255} {
		p, q := udp(x4(1000), y4(53), "another protocol"), udp(x6(1000), y6(53), "another protocol")
		p.Protocol, q.Protocol = protocol, protocol
		add(fmt.Sprintf("protocol %d", protocol), 0, p, q)
	}
	hop := traffic.Extension{Type: 0, Bytes: []byte{0, 0, 1, 4, 0, 0, 0, 0}}
	options := traffic.Extension{Type: 60, Bytes: []byte{0, 0, 1, 4, 0, 0, 0, 0}}
	for port, arrive := range map[uint16]int{53: -1, 55: 0} {
		p, q := udp(x6(1100), y6(port), "extended"), udp(x6(1101), y6(port), "extended")
		p.Extensions, q.Extensions = []traffic.Extension{options}, []traffic.Extension{hop, options, options}
		add(fmt.Sprintf("extension headers to %d", port), arrive, p, q)
	}
	cut := udp(x6(1102), y6(53), "")
	cut.Extensions, cut.Payload = []traffic.Extension{options}, cut.Payload[:4]
	add("cut behind an extension header", 0, cut)
	return append(all, fragments()...)
}

// fragments returns whole and broken datagrams of x to y, in fragments.
func fragments() []filterCase {
	content := string(bytes.Repeat([]byte("fragment"), 10))
	var all []filterCase
	id := uint32(100)
	for _, six := range []bool{false, true} {
		x, y, family := x4, y4, "IPv4"
		if six {
			x, y, family = x6, y6, "IPv6"
		}
		// piece returns the bytes of a datagram from one offset to another.
		piece := func(p traffic.Packet, from, to int, more bool) traffic.Packet {
			p.ID, p.Offset, p.More, p.Payload = id, from, more, p.Payload[from:to]
			return p
		}
		add := func(name string, arrive int, packets ...traffic.Packet) {
			all = append(all, filterCase{family + ": " + name, arrive, packets})
			id++
		}
		good, bad := udp(x(1200), y(53), content), udp(x(1200), y(55), content)
		syn := tcp(x(1201), y(22), traffic.SYN)
		syn.Payload = append(syn.Payload, content...)
		add("allowed fragments", -1, piece(good, 0, 48, true), piece(good, 48, 64, true), piece(good, 64, 88, false))
		add("allowed TCP fragments", -1, piece(syn, 0, 48, true), piece(syn, 48, 100, false))
		add("denied fragments", 0, piece(bad, 0, 48, true), piece(bad, 48, 88, false))
		add("no first fragment", 0, piece(good, 48, 64, true), piece(good, 64, 88, false))
		add("tiny first fragment", 0, piece(syn, 0, 8, true), piece(syn, 8, 100, false))
		add("tiny first fragment and a half", 0, piece(syn, 0, 16, true), piece(syn, 16, 100, false))
		add("inside the transport header", 1, piece(syn, 0, 24, true), piece(syn, 8, 100, false))
		add("overlap", 1, piece(good, 0, 48, true), piece(good, 40, 64, true), piece(good, 64, 88, false))
		add("overlap of the same", 1, piece(good, 0, 48, true), piece(bad, 0, 48, true), piece(good, 48, 88, false))
	}
	// The header that says which port is in the second fragment (RFC 7112).
	hidden := traffic.Packet{Src: x6(0).Addr(), Dst: y6(0).Addr(), Protocol: 60, ID: id, More: true, Payload: []byte{unix.IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0}}
	rest := hidden
	rest.Offset, rest.More, rest.Payload = 8, false, traffic.UDPBytes(x6(1), y6(53), []byte(content))
	return append(all, filterCase{"port in the second fragment", 0, []traffic.Packet{hidden, rest}})
}

// incoming returns packets of y to x, after those of [outgoing].
func incoming() []filterCase {
	var all []filterCase
	add := func(name string, arrive int, packets ...traffic.Packet) {
		all = append(all, filterCase{name, arrive, packets})
	}
	add("new", 0, tcp(y4(1000), x4(22), traffic.SYN), tcp(y6(1000), x6(22), traffic.SYN), udp(y4(1000), x4(53), "new"), udp(y6(1000), x6(53), "new"),
		echo(y4(0).Addr(), x4(0).Addr(), false, 9), echo(y6(0).Addr(), x6(0).Addr(), false, 9))
	add("no answers", 0,
		tcp(y4(23), x4(1000), traffic.SYN|traffic.ACK), tcp(y4(22), x4(999), traffic.SYN|traffic.ACK), udp(y4(54), x4(1000), "no"), udp(y4(53), x4(999), "no"),
		echo(y4(0).Addr(), x4(0).Addr(), true, 5), echo(y6(0).Addr(), x6(0).Addr(), true, 7))
	add("questions with the identifier of another's", 0, echo(y4(0).Addr(), x4(0).Addr(), false, 4), echo(y6(0).Addr(), x6(0).Addr(), false, 6))
	add("answers", -1,
		tcp(y4(22), x4(1000), traffic.SYN|traffic.ACK), tcp(y6(8010), x6(1000), traffic.SYN|traffic.ACK), tcp(y4(8000), x4(1000), traffic.RST|traffic.ACK),
		udp(y4(53), x4(1000), "answer"), udp(y6(53), x6(1000), "answer"), udp(y6(53), x6(1101), "to what had extension headers"),
		echo(y4(0).Addr(), x4(0).Addr(), true, 4), echo(y6(0).Addr(), x6(0).Addr(), true, 6))
	// Errors belong to the packet that they quote.
	about := func(p traffic.Packet) traffic.Packet {
		quote := forwarded(p)
		e := traffic.Packet{Src: p.Dst, Dst: p.Src, Protocol: unix.IPPROTO_ICMP}
		kind := []byte{icmp4Unreachable, 3}
		if p.Src.Is6() {
			e.Protocol, kind = unix.IPPROTO_ICMPV6, []byte{icmp6Unreachable, 4}
		}
		e.Payload = traffic.ICMPErrorBytes(e.Src, e.Dst, kind[0], kind[1], quote)
		return e
	}
	add("errors about what passed", -1, about(udp(x4(1000), y4(53), "one")), about(tcp(x4(1000), y4(22), traffic.SYN)), about(udp(x6(1000), y6(53), "six")))
	add("errors about what did not", 0, about(udp(x4(1000), y4(55), "no")), about(tcp(x4(1000), y4(23), traffic.SYN)), about(udp(x6(1000), y6(55), "no")))
	return all
}
