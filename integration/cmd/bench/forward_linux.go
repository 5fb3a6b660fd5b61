// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net/netip"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// Ports of host b, where the forwards of host a go. Host a has the same at its
// loopback address.
const (
	iperfPort   = 5201 // iperf3's own
	udpPort     = 5202
	answerPort  = 5203
	forwardSize = 1200 // bytes of payload of a UDP packet
)

// A forwarded pair is a tunnel whose end at host a has no interface, but forwards
// from the loopback address to the other end, which is the fork's with an
// interface of the kernel.
type forwarded struct {
	a, b *lab.Host
	ends []end // the program at a alone
	near netip.Addr
}

// at is where host a connects to reach a port of host b.
func (f forwarded) at(port uint16) netip.AddrPort { return netip.AddrPortFrom(f.near, port) }

// far is the port itself.
func far(port uint16) netip.AddrPort { return netip.AddrPortFrom(lab.TunnelB4, port) }

// forwardedPair starts both ends. With the name tun, host a has an interface too
// and its programs use the tunnel as they would any network.
func forwardedPair(s *scope, o options, im lab.Implementation) forwarded {
	net := lab.TwoHosts(1500).Build(s)
	f := forwarded{a: net.Host("a"), b: net.Host("b"), near: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	a, b := lab.TunnelOptions{OuterA: lab.A4, OuterB: lab.B4, Quiet: true}.Ends()
	lab.StartDevice(f.b, o.programs.Implementation(s, lab.ForkName), b)
	var p *lab.Process
	switch im.Name {
	case tunName:
		f.near = lab.TunnelB4
		p = lab.StartDevice(f.a, im, a).Process
	case lab.PlainName:
		p = lab.StartPlain(f.a, im.Path, a,
			"-tcp", fmt.Sprintf("%s=%s", f.at(iperfPort), far(iperfPort)),
			"-tcp", fmt.Sprintf("%s=%s", f.at(answerPort), far(answerPort)),
			"-udp", fmt.Sprintf("%s=%s", f.at(udpPort), far(udpPort)))
	default:
		sections := im.Sections
		for _, forward := range []struct {
			section string
			port    uint16
		}{{"TCPClientTunnel", iperfPort}, {"TCPClientTunnel", answerPort}, {"UDPProxyTunnel", udpPort}} {
			sections += fmt.Sprintf("\n[%s]\nBindAddress = %s\nTarget = %s\n", forward.section, f.at(forward.port), far(forward.port))
		}
		p = lab.StartNetstack(f.a, im.Path, a, sections)
	}
	f.ends = []end{{"program", p}}
	return f
}

// A way is one direction of a forward.
type way struct {
	name    string
	reverse bool // from the tunnel
}

func ways() []way { return []way{{"into the tunnel", false}, {"out of the tunnel", true}} }

// measureForward measures TCP through a forward, one way after the other.
func measureForward(s *scope, o options, im lab.Implementation, streams int) []result {
	f := forwardedPair(s, o, im)
	traffic.Answerer(s, f.b, far(answerPort))
	traffic.WaitExchange(s, f.a, f.at(answerPort))
	traffic.Iperf3Server(s, f.b, lab.TunnelB4)
	var rates, cpu []result
	for _, w := range ways() {
		before := usage(s, f.ends)[0].CPU
		r, err := traffic.Iperf3Streams(f.a, f.near, o.duration, streams, w.reverse)
		s.check(err)
		if r.Bytes == 0 {
			s.Fatalf("nothing arrives %s", w.name)
		}
		took := usage(s, f.ends)[0].CPU - before
		rates = append(rates, result{Figure: w.name, Unit: "Gbit/s", Main: true, Value: r.BitsPerSecond / 1e9})
		cpu = append(cpu, result{Figure: "CPU " + w.name, Unit: "seconds per GB", Less: true, Main: true, Value: took.Seconds() / (float64(r.Bytes) / 1e9)})
	}
	return append(append(rates, cpu...), memory(usage(s, f.ends), f.ends)...)
}

// measureForwardUDP measures UDP through a forward, one way after the other.
func measureForwardUDP(s *scope, o options, im lab.Implementation) []result {
	f := forwardedPair(s, o, im)
	there, back, err := traffic.NewForwardMeters(f.a, f.b, f.at(udpPort), far(udpPort), forwardSize)
	s.check(err)
	defer there.Close()
	defer quietRuntime()()
	var results []result
	for _, w := range ways() {
		m := there
		if w.reverse {
			m = back
		}
		for _, r := range rates(s, o, m.Try, o.udpRate, f.ends) {
			r.Figure = w.name + ": " + r.Figure
			results = append(results, r)
		}
	}
	return append(results, memory(usage(s, f.ends), f.ends)...)
}
