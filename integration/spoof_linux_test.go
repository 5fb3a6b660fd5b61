// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// TestForwardingSpoofed sends packets that are not the sender's, that belong on no
// wire, and that are no packets, through a hub. The other peer gets none of them,
// and each good one between them.
func TestForwardingSpoofed(t *testing.T) {
	bin := router(t)
	for _, mode := range forwardingModes[:2] {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			var sections func(x, y lab.Key) string
			if mode.sections != "" {
				sections = func(x, y lab.Key) string { return mode.sections }
			}
			s := newSpeakers(t, bin, mode.forward, sections)
			bad := badPackets()
			for _, name := range slices.Sorted(maps.Keys(bad)) {
				// Only packets to one address keep their order, so a marker of each family.
				got := pass(t, s.x, s.y, s.marker(x4(7), y4(7)), bad[name]...)
				if got = append(got, pass(t, s.x, s.y, s.marker(x6(7), y6(7)))...); len(got) != 0 {
					t.Errorf("%s: %x arrived", name, got)
				}
			}
			for name, p := range goodPackets() {
				marker := s.marker(x4(7), y4(7))
				if p.Src.Is6() {
					marker = s.marker(x6(7), y6(7))
				}
				if got := pass(t, s.x, s.y, marker, p.Bytes()); len(got) != 1 || !bytes.Equal(got[0], forwarded(p)) {
					t.Errorf("%s: got %x, want %x", name, got, forwarded(p))
				}
			}
			// What x sent to itself is not sent round and round.
			back := pass(t, s.y, s.x, s.marker(y4(7), x4(7)))
			back = append(back, pass(t, s.y, s.x, s.marker(y6(7), x6(7)))...)
			times := make(map[string]int)
			for _, p := range back {
				if bytes.Contains(p, []byte("to itself")) && p[0]>>4 == 4 && p[9] != 1 {
					times[string(p[20:])]++
				}
			}
			for p, n := range times {
				if n > 1 {
					t.Errorf("%x came back %d times", p, n)
				}
			}
			// And it is told that a hop limit ended, by the hub.
			told := 0
			for _, p := range back {
				if p[0]>>4 == 4 && p[9] == 1 && p[20] == icmp4TimeExceeded && netip.AddrFrom4([4]byte(p[12:16])) == lab.HubTunnel4 ||
					p[0]>>4 == 6 && p[6] == 58 && p[40] == icmp6TimeExceeded && netip.AddrFrom16([16]byte(p[8:24])) == lab.HubTunnel6 {
					told++
				}
			}
			if told < 2 {
				t.Errorf("%d messages that a hop limit ended, want one of each family: %x", told, back)
			}
		})
	}
}

// badPackets returns packets of x that y must not get.
func badPackets() map[string][][]byte {
	bad := make(map[string][][]byte)
	add := func(name string, packets ...[]byte) { bad[name] = append(bad[name], packets...) }
	good := func() []byte { return udp(x4(1), y4(2), "good until it is changed").Bytes() }
	good6 := func() []byte { return udp(x6(1), y6(2), "good until it is changed").Bytes() }

	for _, src := range []string{
		"10.67.0.3", "10.67.0.1", "10.67.0.99", "127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.5", "192.0.2.1", "8.8.8.8",
		"fd67::3", "fd67::1", "fd67::99", "::1", "::", "ff02::1", "fe80::2", "2001:db8:a::1", "::ffff:10.67.0.2",
	} {
		from, to := netip.AddrPortFrom(netip.MustParseAddr(src), 1), y4(2)
		if from.Addr().Is6() {
			to = y6(2)
		}
		add("source "+src, udp(from, to, "spoofed").Bytes())
	}
	for _, dst := range []string{
		"224.0.0.1", "224.0.0.251", "239.1.1.1", "255.255.255.255", "10.67.255.255", "127.0.0.1", "0.0.0.0", "10.67.0.99",
		"ff02::1", "ff05::2", "ff0e::1", "::1", "::", "fe80::3", "fd67::99",
	} {
		from, to := x4(1), netip.AddrPortFrom(netip.MustParseAddr(dst), 2)
		if to.Addr().Is6() {
			from = x6(1)
		}
		add("destination "+dst, udp(from, to, "to nobody").Bytes())
	}
	for i := range 3 {
		add("to itself", udp(x4(1), x4(2), fmt.Sprintf("to itself %d", i)).Bytes(), udp(x6(1), x6(2), "to itself").Bytes())
	}
	for n := range 20 {
		add("cut header", good()[:n])
	}
	for n := range 40 {
		add("cut header", good6()[:n])
	}
	change := func(name string, b []byte, f func(b []byte), sum bool) {
		f(b)
		if sum {
			traffic.SumHeader(b)
		}
		add(name, b)
	}
	for _, length := range []uint16{0, 1, 19, 1000, 0xffff} {
		change("total length", good(), func(b []byte) { binary.BigEndian.PutUint16(b[2:], length) }, true)
	}
	for _, words := range []byte{0, 1, 4, 15} {
		b := good()
		if words == 15 { // header longer than the packet
			b = b[:40]
			binary.BigEndian.PutUint16(b[2:], 40)
		}
		change("header length", b, func(b []byte) { b[0] = 0x40 | words }, words >= 5)
	}
	for _, length := range []uint16{1000, 0xffff} {
		change("payload length", good6(), func(b []byte) { binary.BigEndian.PutUint16(b[4:], length) }, false)
	}
	for at := range 2 {
		change("header checksum", good(), func(b []byte) { b[10+at] ^= 0x40 }, false)
	}
	for _, version := range []byte{0, 5, 7, 15} {
		change("version", good(), func(b []byte) { b[0] = version<<4 | 5 }, true)
	}
	change("version of the other family", good(), func(b []byte) { b[0] = 0x65 }, false)
	for _, limit := range []byte{0, 1} {
		change("hop limit", good(), func(b []byte) { b[8] = limit }, true)
		change("hop limit", good6(), func(b []byte) { b[7] = limit }, false)
	}
	return bad
}

// goodPackets returns packets of x that y must get as they are, a hop later.
func goodPackets() map[string]traffic.Packet {
	one := udp(x4(1), y4(2), "the shortest way")
	last := one
	last.HopLimit = 2
	fragment := one
	fragment.ID, fragment.More, fragment.Payload = 77, true, make([]byte, 64)
	extended := udp(x6(1), y6(2), "behind an extension header")
	extended.Extensions = []traffic.Extension{{Type: 60, Bytes: []byte{0, 0, 1, 4, 0, 0, 0, 0}}}
	unknown := one
	unknown.Protocol = 253 // for experiments, RFC 3692
	return map[string]traffic.Packet{
		"UDP": one, "UDP over IPv6": udp(x6(1), y6(2), "six"), "last hop": last, "fragment": fragment,
		"SYN": tcp(x4(1), y4(2), traffic.SYN), "echo": echo(x4(0).Addr(), y4(0).Addr(), false, 9), "echo over IPv6": echo(x6(0).Addr(), y6(0).Addr(), false, 9),
		"extension header": extended, "unknown protocol": unknown, "empty UDP": udp(x4(1), y4(2), ""),
	}
}
