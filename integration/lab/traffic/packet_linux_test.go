// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"golang.org/x/sys/unix"
)

// TestSpeaker speaks with a host behind a foreign program: the kernel there
// judges every packet that the speaker makes, by answering it.
func TestSpeaker(t *testing.T) {
	a, b := hosts(t)
	s, err := traffic.NewSpeaker(b, lab.B4)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	programs := &lab.Programs{Dir: t.TempDir()}
	d := lab.StartDevice(a, programs.Implementation(t, lab.ForkName), lab.DeviceOptions{
		Addresses: []string{"10.77.0.1/24", "fd77::1/64"}, Peers: []lab.Peer{s.Peer("10.77.0.2/32", "fd77::2/128")},
	})
	if err := s.Connect(d.PublicKey(), netip.AddrPortFrom(lab.A4, lab.Port)); err != nil {
		t.Fatal(err)
	}
	answer := func(name string, protocol uint8, payload []byte, six bool) {
		t.Helper()
		_, err := s.ReceiveUntil(func(p []byte) bool {
			if six {
				return len(p) > 40 && p[0]>>4 == 6 && p[6] == protocol && bytes.HasPrefix(p[40:], payload)
			}
			return len(p) > 20 && p[0]>>4 == 4 && p[9] == protocol && bytes.HasPrefix(p[20:], payload)
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ping := traffic.Packet{Src: lab.TunnelB4, Dst: lab.TunnelA4, Protocol: unix.IPPROTO_ICMP, Payload: traffic.EchoBytes(lab.TunnelB4, lab.TunnelA4, false, 1, 1, nil)}
	if err := s.Warm(s, ping.Bytes(), func(p []byte) bool { return p[0]>>4 == 4 && p[9] == unix.IPPROTO_ICMP && p[20] == 0 }); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("content "), 8)
	for _, six := range []bool{false, true} {
		self, hub, icmp := lab.TunnelB4, lab.TunnelA4, uint8(unix.IPPROTO_ICMP)
		if six {
			self, hub, icmp = lab.TunnelB6, lab.TunnelA6, unix.IPPROTO_ICMPV6
		}
		send := func(packets ...traffic.Packet) {
			t.Helper()
			for _, p := range packets {
				if err := s.Send(p.Bytes()); err != nil {
					t.Fatal(err)
				}
			}
		}
		request := traffic.Packet{Src: self, Dst: hub, Protocol: icmp, ID: 7, Payload: traffic.EchoBytes(self, hub, false, 7, 1, content)}
		reply := traffic.EchoBytes(hub, self, true, 7, 1, content)
		send(request)
		answer("echo", icmp, reply, six)
		first, rest := request, request
		first.Payload, first.More = request.Payload[:24], true
		rest.Payload, rest.Offset = request.Payload[24:], 24
		send(first, rest)
		answer("echo in fragments", icmp, reply, six)
		if six {
			request.Extensions = []traffic.Extension{{Type: 0, Bytes: []byte{0, 0, 1, 4, 0, 0, 0, 0}}, {Type: 60, Bytes: []byte{0, 0, 1, 4, 0, 0, 0, 0}}}
			send(request)
			answer("echo behind extension headers", icmp, reply, six)
		}

		from, to := netip.AddrPortFrom(self, 1000), netip.AddrPortFrom(hub, 1)
		closed := traffic.Packet{Src: self, Dst: hub, Protocol: unix.IPPROTO_UDP, Payload: traffic.UDPBytes(from, to, content)}
		send(closed)
		unreachable := traffic.ICMPErrorBytes(hub, self, 3, 3, closed.Bytes())
		if six {
			unreachable = traffic.ICMPErrorBytes(hub, self, 1, 4, closed.Bytes())
		}
		answer("UDP to a closed port", icmp, unreachable, six)
		send(traffic.Packet{Src: self, Dst: hub, Protocol: unix.IPPROTO_TCP, Payload: traffic.TCPBytes(from, to, traffic.SYN, 5, 0, nil)})
		// Without the fields behind the flags: the window is not ours.
		answer("SYN to a closed port", unix.IPPROTO_TCP, traffic.TCPBytes(to, from, traffic.RST|traffic.ACK, 0, 6, nil)[:14], six)
	}
}

// TestProbe gets the errors of a plain router on the way.
func TestProbe(t *testing.T) {
	hosts(t) // or the machine cannot run this
	n := lab.ThroughRouter(1500).Build(t)
	a, r := n.Host("a"), n.Host("r")
	r.SetMTU("net1", 1400)
	for _, test := range []struct {
		o    traffic.ProbeOptions
		want traffic.Complaint
	}{
		{traffic.ProbeOptions{Dst: netip.AddrPortFrom(lab.C4, 1), Size: 9, HopLimit: 1}, traffic.Complaint{From: netip.MustParseAddr("192.0.2.254"), Type: 11}},
		{traffic.ProbeOptions{Dst: netip.AddrPortFrom(lab.C6, 1), Size: 9, HopLimit: 1}, traffic.Complaint{From: netip.MustParseAddr("2001:db8:a::ff"), Type: 3}},
		{traffic.ProbeOptions{Dst: netip.AddrPortFrom(lab.C4, 1), Size: 9}, traffic.Complaint{From: lab.C4, Type: 3, Code: 3}},
		{traffic.ProbeOptions{Dst: netip.AddrPortFrom(lab.C6, 1), Size: 9}, traffic.Complaint{From: lab.C6, Type: 1, Code: 4}},
		{traffic.ProbeOptions{Dst: netip.AddrPortFrom(lab.C4, 1), Size: 1472, Whole: true}, traffic.Complaint{From: netip.MustParseAddr("192.0.2.254"), Type: 3, Code: 4, MTU: 1400}},
		{traffic.ProbeOptions{Dst: netip.AddrPortFrom(lab.C6, 1), Size: 1452, Whole: true}, traffic.Complaint{From: netip.MustParseAddr("2001:db8:a::ff"), Type: 2, MTU: 1400}},
	} {
		if got, err := traffic.Probe(a, test.o); err != nil || got != test.want {
			t.Errorf("%+v: got %s, %v, want %s", test.o, got, err, test.want)
		}
	}
}
