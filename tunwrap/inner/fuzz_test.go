// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package inner_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// FuzzParse: any bytes are parsed without a panic and left as they are. What is said
// of a packet without a problem is inside of it and is what golang.org/x/net reads.
func FuzzParse(f *testing.F) {
	for _, pkt := range [][]byte{
		nil,
		ip4(inner.TCP, 0, tcp(inner.SYN, 4)...),
		ip4(inner.UDP, 8, udp()...),
		fragment4(ip4(inner.UDP, 0, udp()...), 1, 0, true),
		fragment4(ip4(inner.UDP, 0, udp()...), 1, 1480, false),
		ip4(inner.ICMP, 0, cat(icmp(3, 4, 0), ip4(inner.UDP, 0, udp()...))...),
		ip6(inner.TCP, tcp(inner.ACK, 0)...),
		ip6(0, cat(extension(60, 0), extension(43, 2), extension(44, 0), fragment6(inner.UDP, 9, 0, true), udp())...),
		ip6(44, cat(fragment6(60, 9, 1448, true), udp())...),
		ip6(inner.ICMPv6, cat(icmp(2, 0, 0), ip6(inner.UDP, udp()...))...),
	} {
		f.Add(pkt, false)
		f.Add(pkt, true)
	}
	f.Fuzz(func(t *testing.T, pkt []byte, seal bool) {
		if seal {
			mend(pkt)
		}
		before := bytes.Clone(pkt)
		var p inner.Packet
		problem := p.Parse(pkt)
		if !bytes.Equal(pkt, before) {
			t.Fatal("the packet was changed")
		}
		var again inner.Packet
		if again.Parse(pkt) != problem || again != p {
			t.Fatalf("parsed twice: %+v and %+v", p, again)
		}
		switch {
		case int(problem) >= inner.Problems:
			t.Fatalf("unknown problem %d", problem)
		case problem == inner.OK:
			checkPacket(t, &p, pkt)
		}
	})
}

// mend makes the length and the checksum of the IP header right, where there is one: a fuzzer does
// not find them.
func mend(pkt []byte) {
	switch {
	case len(pkt) >= inner.IPv4HeaderLen && len(pkt) <= 0xffff && pkt[0]>>4 == 4 && int(pkt[0]&15)*4 <= len(pkt):
		seal4(pkt)
	case len(pkt) >= inner.IPv6HeaderLen && len(pkt) <= 0xffff+inner.IPv6HeaderLen && pkt[0]>>4 == 6:
		binary.BigEndian.PutUint16(pkt[4:], uint16(len(pkt)-inner.IPv6HeaderLen))
	}
}

// checkPacket checks what must hold of a packet without a problem.
func checkPacket(t *testing.T, p *inner.Packet, pkt []byte) {
	header := inner.IPv6HeaderLen
	if p.Src.Is4() {
		header = int(pkt[0]&15) * 4
		checkIPv4(t, p, pkt)
	} else {
		checkIPv6(t, p, pkt)
	}
	if p.Length != len(pkt) || p.Src.Is4() != p.Dst.Is4() || p.Src.Is4In6() || p.Dst.Is4In6() {
		t.Fatalf("%+v", p)
	}
	if !p.Fragment && (p.More || p.Offset != 0 || p.FragmentLen != 0 || p.ID != 0) {
		t.Fatalf("no fragment, but %+v", p)
	}
	if p.Fragment && (p.FragmentLen <= 0 || p.FragmentLen > len(pkt)-header || p.Offset%8 != 0 || p.More && p.FragmentLen%8 != 0 ||
		p.Offset+p.FragmentLen > 0xffff) {
		t.Fatalf("impossible fragment %+v", p)
	}
	if p.Transport == 0 {
		if p.SrcPort|p.DstPort|p.Echo != 0 || p.Flags|p.Type|p.Code != 0 || p.IsError() {
			t.Fatalf("no transport header, but %+v", p)
		}
		return
	}
	fixed := map[uint8]int{inner.TCP: 20, inner.UDP: 8, inner.ICMP: 8, inner.ICMPv6: 8}
	if p.Transport < header || p.Transport+max(1, fixed[p.Protocol]) > len(pkt) || p.Offset > 0 {
		t.Fatalf("transport header not in the packet of %d bytes: %+v", len(pkt), p)
	}
	at := pkt[p.Transport:]
	switch p.Protocol {
	case inner.TCP:
		if length := int(at[12]>>4) * 4; length < 20 || length > len(at) || p.Flags != at[13] {
			t.Fatalf("TCP header of %d bytes in %d: %+v", length, len(at), p)
		}
		fallthrough
	case inner.UDP:
		if p.SrcPort != binary.BigEndian.Uint16(at) || p.DstPort != binary.BigEndian.Uint16(at[2:]) {
			t.Fatalf("ports %+v", p)
		}
	case inner.ICMP, inner.ICMPv6:
		if p.Type != at[0] || p.Code != at[1] || p.IsEcho() && (p.Echo != binary.BigEndian.Uint16(at[4:]) || p.IsError()) {
			t.Fatalf("ICMP %+v", p)
		}
	}
}

// checkIPv4 compares with golang.org/x/net/ipv4, which accepts all that Parse does.
func checkIPv4(t *testing.T, p *inner.Packet, pkt []byte) {
	if runtime.GOOS != "linux" {
		return // it expects some fields as the raw sockets of the system have them
	}
	h, err := ipv4.ParseHeader(pkt)
	if err != nil {
		t.Fatalf("ParseHeader: %v, Parse: %+v", err, p)
	}
	fragment := h.FragOff > 0 || h.Flags&ipv4.MoreFragments != 0
	if h.Version != 4 || h.TotalLen != p.Length || h.TTL != int(p.HopLimit) || h.Protocol != int(p.Protocol) ||
		h.Src.String() != p.Src.String() || h.Dst.String() != p.Dst.String() ||
		h.Flags&ipv4.DontFragment != 0 != p.DontFragment || fragment != p.Fragment {
		t.Fatalf("ParseHeader: %v\nParse: %+v", h, p)
	}
	if fragment && (h.FragOff*8 != p.Offset || h.Flags&ipv4.MoreFragments != 0 != p.More || uint32(h.ID) != p.ID || h.TotalLen-h.Len != p.FragmentLen) {
		t.Fatalf("ParseHeader: %v\nParse: %+v", h, p)
	}
	if p.Transport != 0 && p.Transport != h.Len {
		t.Fatalf("ParseHeader: %v\nParse: %+v", h, p)
	}
}

// checkIPv6 compares with golang.org/x/net/ipv6.
func checkIPv6(t *testing.T, p *inner.Packet, pkt []byte) {
	h, err := ipv6.ParseHeader(pkt)
	if err != nil {
		t.Fatalf("ParseHeader: %v, Parse: %+v", err, p)
	}
	if h.Version != 6 || h.PayloadLen != p.Length-inner.IPv6HeaderLen || h.HopLimit != int(p.HopLimit) ||
		h.Src.String() != p.Src.String() || h.Dst.String() != p.Dst.String() || !p.DontFragment {
		t.Fatalf("ParseHeader: %v\nParse: %+v", h, p)
	}
	if p.Transport == inner.IPv6HeaderLen && h.NextHeader != int(p.Protocol) {
		t.Fatalf("ParseHeader: %v\nParse: %+v", h, p)
	}
}

// TestParseNoAllocs covers both families, extension headers and a packet with a problem.
func TestParseNoAllocs(t *testing.T) {
	pkts := [][]byte{
		ip4(inner.TCP, 0, tcp(inner.ACK, 12)...),
		ip6(0, cat(extension(44, 0), fragment6(inner.UDP, 9, 0, true), udp())...),
		ip6(inner.UDP, udp()...)[:40],
	}
	var p inner.Packet
	if n := testing.AllocsPerRun(100, func() {
		for _, pkt := range pkts {
			p.Parse(pkt)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// BenchmarkParse is what the hub and the filter pay for each packet before they do anything.
func BenchmarkParse(b *testing.B) {
	for name, pkt := range map[string][]byte{
		"tcp4":                   ip4(inner.TCP, 0, tcp(inner.ACK, 12)...),
		"udp6":                   ip6(inner.UDP, udp()...),
		"fragment6 with options": ip6(0, cat(extension(44, 0), fragment6(inner.UDP, 9, 0, true), udp())...),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var p inner.Packet
			for b.Loop() {
				if problem := p.Parse(pkt); problem != inner.OK {
					b.Fatal(problem)
				}
			}
		})
	}
}
