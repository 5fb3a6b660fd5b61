// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"golang.org/x/sys/unix"
)

// speakers are two peers of a hub that send any bytes and see all they get:
//
//	a (the hub) eth0 ── veth ── eth0 b (both peers)
type speakers struct {
	a    *lab.Host
	hub  *lab.Device
	x, y *traffic.Speaker
	mark uint64 // of the last marker
}

// newSpeakers starts the hub, with the sections that are made of the public keys
// of x and y. Both have a session then, and UDP of x to port 53 of y passes.
func newSpeakers(t *testing.T, bin string, forward bool, sections func(x, y lab.Key) string) *speakers {
	t.Helper()
	n := lab.TwoHosts(1500).Build(t)
	s := &speakers{a: n.Host("a")}
	value := "0"
	if forward {
		value = "1"
	}
	s.a.Sysctl("net/ipv4/ip_forward", value)
	s.a.Sysctl("net/ipv6/conf/all/forwarding", value)
	s.a.Sysctl("net/ipv4/conf/all/send_redirects", "0")
	s.a.Sysctl("net/ipv4/conf/default/send_redirects", "0")
	for _, p := range []**traffic.Speaker{&s.x, &s.y} {
		*p = must(traffic.NewSpeaker(n.Host("b"), lab.B4))(t)
		t.Cleanup(func() { (*p).Close() })
	}
	text := "[Router]\n"
	if sections != nil {
		text = sections(s.x.PublicKey(), s.y.PublicKey())
	}
	s.hub = lab.StartDevice(s.a, lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true, Sections: text}, lab.DeviceOptions{
		Addresses: []string{lab.HubTunnel4.String() + "/16", lab.HubTunnel6.String() + "/64"},
		Peers: []lab.Peer{
			s.x.Peer(lab.PeerTunnel4(1).String()+"/32", lab.PeerTunnel6(1).String()+"/128"),
			s.y.Peer(lab.PeerTunnel4(2).String()+"/32", lab.PeerTunnel6(2).String()+"/128"),
		},
	})
	for _, p := range []*traffic.Speaker{s.x, s.y} {
		if err := p.Connect(s.hub.PublicKey(), outerPort(lab.A4)); err != nil {
			t.Fatal(err)
		}
	}
	warm := s.marker(x4(5000), y4(53))
	if err := s.x.Warm(s.y, warm.Bytes(), func(p []byte) bool { return bytes.Equal(p, forwarded(warm)) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// marker returns a packet that the hub forwards, unlike any before it.
func (s *speakers) marker(src, dst netip.AddrPort) traffic.Packet {
	s.mark++
	return traffic.Packet{
		Src: src.Addr(), Dst: dst.Addr(), Protocol: unix.IPPROTO_UDP,
		Payload: traffic.UDPBytes(src, dst, fmt.Appendf(nil, "marker %d", s.mark)),
	}
}

// pass sends packets from one speaker and then the marker, and returns what the
// other gets before it. The hub keeps the order.
func pass(t *testing.T, from, to *traffic.Speaker, marker traffic.Packet, packets ...[]byte) [][]byte {
	t.Helper()
	if err := from.Send(append(packets, marker.Bytes())...); err != nil {
		t.Fatal(err)
	}
	want := forwarded(marker)
	got, err := to.ReceiveUntil(func(p []byte) bool { return bytes.Equal(p, want) })
	if err != nil {
		t.Fatalf("the marker does not arrive: %v, got %x", err, got)
	}
	return got
}

// forwarded returns the packet behind a router.
func forwarded(p traffic.Packet) []byte {
	if p.HopLimit == 0 {
		p.HopLimit = 64
	}
	p.HopLimit--
	return p.Bytes()
}

// The addresses of x and y with ports.
func x4(port uint16) netip.AddrPort { return netip.AddrPortFrom(lab.PeerTunnel4(1), port) }
func y4(port uint16) netip.AddrPort { return netip.AddrPortFrom(lab.PeerTunnel4(2), port) }
func x6(port uint16) netip.AddrPort { return netip.AddrPortFrom(lab.PeerTunnel6(1), port) }
func y6(port uint16) netip.AddrPort { return netip.AddrPortFrom(lab.PeerTunnel6(2), port) }

// udp returns a datagram as a packet.
func udp(src, dst netip.AddrPort, payload string) traffic.Packet {
	return traffic.Packet{Src: src.Addr(), Dst: dst.Addr(), Protocol: unix.IPPROTO_UDP, Payload: traffic.UDPBytes(src, dst, []byte(payload))}
}

// tcp returns a segment without content as a packet.
func tcp(src, dst netip.AddrPort, flags uint8) traffic.Packet {
	return traffic.Packet{Src: src.Addr(), Dst: dst.Addr(), Protocol: unix.IPPROTO_TCP, Payload: traffic.TCPBytes(src, dst, flags, 1000, 0, nil)}
}

// echo returns an echo request or reply as a packet.
func echo(src, dst netip.Addr, reply bool, id uint16) traffic.Packet {
	protocol := uint8(unix.IPPROTO_ICMP)
	if src.Is6() {
		protocol = unix.IPPROTO_ICMPV6
	}
	return traffic.Packet{Src: src, Dst: dst, Protocol: protocol, Payload: traffic.EchoBytes(src, dst, reply, id, 1, []byte("echo"))}
}
