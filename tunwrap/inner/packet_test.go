// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package inner_test

import (
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// addressed returns want with what all packets of a family have in common.
func addressed(want inner.Packet, pkt []byte) inner.Packet {
	want.Length, want.HopLimit = len(pkt), 64
	want.Src, want.Dst = netip.MustParseAddr(a4), netip.MustParseAddr(b4)
	if pkt[0]>>4 == 6 {
		want.Src, want.Dst = netip.MustParseAddr(a6), netip.MustParseAddr(b6)
		want.DontFragment = true
	}
	return want
}

// TestParse reads packets that are right, and those that are cut short behind the
// IP header.
func TestParse(t *testing.T) {
	dontFragment := ip4(inner.UDP, 0, udp()...)
	dontFragment[6] = 0x40
	seal4(dontFragment)
	authentication := append([]byte{inner.UDP, 1}, make([]byte, 10)...) // (1 + 2) * 4 bytes
	tests := []struct {
		name string
		pkt  []byte
		want inner.Packet
	}{
		{"udp", ip4(inner.UDP, 0, udp()...), inner.Packet{Protocol: inner.UDP, Transport: 20, SrcPort: 1000, DstPort: 53}},
		{"udp cut", ip4(inner.UDP, 0, udp()[:7]...), inner.Packet{Protocol: inner.UDP}},
		{"udp behind options", ip4(inner.UDP, 40, udp()...), inner.Packet{Protocol: inner.UDP, Transport: 60, SrcPort: 1000, DstPort: 53}},
		{"do not fragment", dontFragment, inner.Packet{Protocol: inner.UDP, Transport: 20, SrcPort: 1000, DstPort: 53, DontFragment: true}},
		{"tcp", ip4(inner.TCP, 0, tcp(inner.SYN|inner.ACK, 0)...),
			inner.Packet{Protocol: inner.TCP, Transport: 20, SrcPort: 1000, DstPort: 443, Flags: inner.SYN | inner.ACK}},
		{"tcp options", ip4(inner.TCP, 0, tcp(inner.RST, 40)...), inner.Packet{Protocol: inner.TCP, Transport: 20, SrcPort: 1000, DstPort: 443, Flags: inner.RST}},
		{"tcp options cut", ip4(inner.TCP, 0, tcp(inner.RST, 40)[:59]...), inner.Packet{Protocol: inner.TCP}},
		{"tcp cut", ip4(inner.TCP, 0, tcp(0, 0)[:19]...), inner.Packet{Protocol: inner.TCP}},
		{"tcp offset too small", ip4(inner.TCP, 0, append(tcp(0, 0)[:12], 0x4f, 0, 0, 0, 0, 0, 0, 0)...), inner.Packet{Protocol: inner.TCP}},
		{"echo", ip4(inner.ICMP, 0, icmp(8, 0, 77)...), inner.Packet{Protocol: inner.ICMP, Transport: 20, Type: 8, Echo: 77}},
		{"echo reply", ip4(inner.ICMP, 0, icmp(0, 0, 77)...), inner.Packet{Protocol: inner.ICMP, Transport: 20, Echo: 77}},
		{"icmp error", ip4(inner.ICMP, 0, icmp(3, 4, 77)...), inner.Packet{Protocol: inner.ICMP, Transport: 20, Type: 3, Code: 4}},
		{"icmp cut", ip4(inner.ICMP, 0, icmp(8, 0, 77)[:7]...), inner.Packet{Protocol: inner.ICMP}},
		{"icmpv6 in IPv4", ip4(inner.ICMPv6, 0, icmp(128, 0, 77)...), inner.Packet{Protocol: inner.ICMPv6, Transport: 20, Type: 128}},
		{"gre", ip4(47, 0, 1), inner.Packet{Protocol: 47, Transport: 20}},
		{"nothing", ip4(47, 0), inner.Packet{Protocol: 47}},
		{"first fragment", fragment4(ip4(inner.UDP, 0, cat(udp(), make([]byte, 8))...), 5, 0, true),
			inner.Packet{Protocol: inner.UDP, Transport: 20, SrcPort: 1000, DstPort: 53, Fragment: true, More: true, FragmentLen: 16, ID: 5}},
		{"tiny first fragment", fragment4(ip4(inner.TCP, 0, tcp(0, 0)[:16]...), 5, 0, true),
			inner.Packet{Protocol: inner.TCP, Fragment: true, More: true, FragmentLen: 16, ID: 5}},
		{"last fragment", fragment4(ip4(inner.UDP, 4, 1, 2, 3), 65535, 1480, false),
			inner.Packet{Protocol: inner.UDP, Fragment: true, Offset: 1480, FragmentLen: 3, ID: 65535}},
		{"fragment to the end", fragment4(ip4(inner.UDP, 0, 1, 2, 3), 1, 65512, false),
			inner.Packet{Protocol: inner.UDP, Fragment: true, Offset: 65512, FragmentLen: 3, ID: 1}},

		{"udp6", ip6(inner.UDP, udp()...), inner.Packet{Protocol: inner.UDP, Transport: 40, SrcPort: 1000, DstPort: 53}},
		{"tcp6 cut", ip6(inner.TCP, tcp(0, 0)[:19]...), inner.Packet{Protocol: inner.TCP}},
		{"echo6", ip6(inner.ICMPv6, icmp(129, 0, 77)...), inner.Packet{Protocol: inner.ICMPv6, Transport: 40, Type: 129, Echo: 77}},
		{"icmp in IPv6", ip6(inner.ICMP, icmp(8, 0, 77)...), inner.Packet{Protocol: inner.ICMP, Transport: 40, Type: 8}},
		{"no next header", ip6(59), inner.Packet{Protocol: 59}},
		{"esp", ip6(50, make([]byte, 8)...), inner.Packet{Protocol: 50, Transport: 40}},
		{"extensions", ip6(0, cat(extension(60, 0), extension(43, 2), extension(51, 0), authentication, udp())...),
			inner.Packet{Protocol: inner.UDP, Transport: 40 + 8 + 24 + 8 + len(authentication), SrcPort: 1000, DstPort: 53}},
		{"fragment6 first", ip6(44, cat(fragment6(inner.UDP, 1<<31, 0, true), udp())...),
			inner.Packet{Protocol: inner.UDP, Transport: 48, SrcPort: 1000, DstPort: 53, Fragment: true, More: true, FragmentLen: 8, ID: 1 << 31}},
		{"fragment6 atomic", ip6(44, cat(fragment6(inner.UDP, 9, 0, false), udp())...),
			inner.Packet{Protocol: inner.UDP, Transport: 48, SrcPort: 1000, DstPort: 53, Fragment: true, FragmentLen: 8, ID: 9}},
		{"fragment6 later", ip6(44, cat(fragment6(60, 9, 1448, true), make([]byte, 16))...),
			inner.Packet{Protocol: 60, Fragment: true, More: true, Offset: 1448, FragmentLen: 16, ID: 9}},
		{"fragment6 behind options", ip6(0, cat(extension(44, 0), fragment6(inner.UDP, 9, 0, true), udp())...),
			inner.Packet{Protocol: inner.UDP, Transport: 56, SrcPort: 1000, DstPort: 53, Fragment: true, More: true, FragmentLen: 8, ID: 9}},
		{"fragment6 with options", ip6(44, cat(fragment6(60, 9, 0, true), extension(inner.UDP, 0), udp())...),
			inner.Packet{Protocol: inner.UDP, Transport: 56, SrcPort: 1000, DstPort: 53, Fragment: true, More: true, FragmentLen: 16, ID: 9}},
		{"fragment6 that cuts the chain", ip6(44, cat(fragment6(60, 9, 0, true), extension(inner.UDP, 1)[:8])...),
			inner.Packet{Protocol: 60, Fragment: true, More: true, FragmentLen: 8, ID: 9}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := inner.Packet{Flags: 255, Echo: 1, Offset: 7, ID: 3, Transport: 9} // must not shine through
			if problem := p.Parse(tt.pkt); problem != inner.OK {
				t.Fatalf("Parse = %v", problem)
			}
			if want := addressed(tt.want, tt.pkt); p != want {
				t.Errorf("got  %+v\nwant %+v", p, want)
			}
		})
	}
}

// TestParseProblems: each kind of packet that no router may pass on.
func TestParseProblems(t *testing.T) {
	change := func(pkt []byte, f func([]byte)) []byte {
		f(pkt)
		return pkt
	}
	var chain []byte
	for range 9 {
		chain = append(chain, extension(60, 0)...)
	}
	whole4, whole6 := ip4(inner.UDP, 0, udp()...), ip6(inner.UDP, udp()...)
	tests := []struct {
		name string
		pkt  []byte
		want inner.Problem
	}{
		{"nothing", nil, inner.Short},
		{"version 0", make([]byte, 60), inner.Version},
		{"version 5", change(ip4(6, 0), func(b []byte) { b[0] = 0x55 }), inner.Version},
		{"one byte", []byte{0x45}, inner.Short},
		{"header cut", whole4[:19], inner.Short},
		{"header of 16", change(ip4(6, 0), func(b []byte) { b[0] = 0x44 }), inner.Header},
		{"options cut", change(ip4(6, 0), func(b []byte) { b[0] = 0x46 }), inner.Short},
		{"longer", append(ip4(6, 0), 0), inner.Length},
		{"shorter", whole4[:27], inner.Length},
		{"checksum", change(ip4(6, 0), func(b []byte) { b[8]-- }), inner.Checksum},
		{"fragment past the end", fragment4(ip4(17, 0, make([]byte, 16)...), 1, 65504, false), inner.Header},
		{"fragment of 12", fragment4(ip4(17, 0, make([]byte, 12)...), 1, 0, true), inner.Header},
		{"fragment of nothing", fragment4(ip4(17, 0), 1, 8, false), inner.Header},

		{"one byte of IPv6", []byte{0x60}, inner.Short},
		{"header cut of IPv6", whole6[:39], inner.Short},
		{"longer IPv6", append(ip6(59), 0), inner.Length},
		{"shorter IPv6", whole6[:47], inner.Length},
		{"mapped source", change(ip6(59), func(b []byte) { copy(b[8:], make([]byte, 10)); b[18], b[19] = 255, 255 }), inner.Header},
		{"mapped destination", change(ip6(59), func(b []byte) { copy(b[24:], make([]byte, 10)); b[34], b[35] = 255, 255 }), inner.Header},
		{"extension cut", ip6(60, extension(17, 1)[:15]...), inner.Short},
		{"extension of 7", ip6(60, make([]byte, 7)...), inner.Short},
		{"authentication cut", ip6(51, 17, 4, 0, 0, 0, 0, 0, 0), inner.Short},
		{"extensions without end", ip6(60, chain...), inner.Header},
		{"fragment header cut", ip6(44, make([]byte, 7)...), inner.Short},
		{"two fragment headers", ip6(44, cat(fragment6(44, 1, 0, true), fragment6(17, 1, 0, true), udp())...), inner.Header},
		{"fragment6 past the end", ip6(44, cat(fragment6(17, 1, 65528, false), udp())...), inner.Header},
		{"fragment6 past the end with extensions", ip6(60, cat(extension(44, 0), fragment6(17, 1, 65520, false), udp())...), inner.Header},
		{"fragment6 of 4", ip6(44, cat(fragment6(17, 1, 0, true), udp()[:4])...), inner.Header},
		{"fragment6 of nothing", ip6(44, fragment6(17, 1, 0, false)...), inner.Header},
	}
	seen := map[inner.Problem]bool{inner.OK: true}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p inner.Packet
			if got := p.Parse(tt.pkt); got != tt.want {
				t.Errorf("Parse = %v, want %v", got, tt.want)
			}
		})
		seen[tt.want] = true
	}
	words := map[string]bool{"unknown": true}
	for problem := range inner.Problem(inner.Problems) {
		if !seen[problem] {
			t.Errorf("no packet with problem %v", problem)
		}
		if words[problem.String()] {
			t.Errorf("problem %d is called %q", problem, problem)
		}
		words[problem.String()] = true
	}
	if got := inner.Problem(inner.Problems).String(); got != "unknown" {
		t.Errorf("past the last problem: %q", got)
	}
}

// TestExtensionsAllowed: eight are followed, a ninth is not.
func TestExtensionsAllowed(t *testing.T) {
	var chain []byte
	for range 7 {
		chain = append(chain, extension(60, 0)...)
	}
	pkt := ip6(60, cat(chain, extension(inner.UDP, 0), udp())...)
	var p inner.Packet
	if problem := p.Parse(pkt); problem != inner.OK || p.Transport != 40+64 || p.DstPort != 53 {
		t.Errorf("Parse = %v, %+v", problem, p)
	}
}

func TestKindsOfICMP(t *testing.T) {
	for kind := range 256 {
		for _, pkt := range [][]byte{ip4(inner.ICMP, 0, icmp(uint8(kind), 0, 77)...), ip6(inner.ICMPv6, icmp(uint8(kind), 0, 77)...)} {
			var p inner.Packet
			if problem := p.Parse(pkt); problem != inner.OK {
				t.Fatalf("Parse = %v", problem)
			}
			echo, failed := kind == 0 || kind == 8, kind == 3 || kind == 4 || kind == 5 || kind == 11 || kind == 12
			if p.Src.Is6() {
				echo, failed = kind == 128 || kind == 129, kind < 128
			}
			if p.IsEcho() != echo || p.IsError() != failed || (p.Echo == 77) != echo {
				t.Errorf("type %d from %v: IsEcho %t, IsError %t, Echo %d", kind, p.Src, p.IsEcho(), p.IsError(), p.Echo)
			}
		}
	}
	var p inner.Packet
	if p.Parse(ip4(inner.ICMP, 0, 3, 4)); p.IsError() {
		t.Error("an error without its header")
	}
}

// TestSum compares with the definition of RFC 1071, word by word.
func TestSum(t *testing.T) {
	b := make([]byte, 257)
	for i := range b {
		b[i] = byte(i*i*7 + 0xf0)
	}
	for n := range len(b) {
		for _, initial := range []uint32{0, 1, 0xffff, 0x10000, 0xffffffff} {
			want := uint64(initial)
			for i, v := range b[:n] {
				want += uint64(v) << (8 * (1 - i%2))
			}
			for want > 0xffff {
				want = want>>16 + want&0xffff
			}
			if got := inner.Sum(b[:n], initial); got != uint16(want) {
				t.Fatalf("Sum of %d bytes and %#x = %#x, want %#x", n, initial, got, want)
			}
		}
	}
}
