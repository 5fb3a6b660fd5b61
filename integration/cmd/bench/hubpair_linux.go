// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// hubPairWorks are traffic from one peer to another through a hub: three hosts,
// three processes. The peers are always the router, only the hub is what is
// measured.
func hubPairWorks() []work {
	all := []work{{
		name: fmt.Sprintf("hubudp%d", hubSize), title: fmt.Sprintf("UDP, %d bytes of payload, 1 flow", hubSize),
		measure: measureHubUDP,
	}, {
		name: "hubtcp1", title: "TCP, 1 stream, both ways", measure: measureHubTCP,
	}, {
		name: "hublatency", title: "UDP request and response, 64 bytes, idle tunnel", measure: measureHubLatency,
	}}
	for i := range all {
		w := &all[i]
		w.group, w.wireGuardOnly, w.baseline = groupHubPair, true, kernelName
		w.title = "from peer to peer through a hub, " + w.title
		w.defaults = []string{kernelName, cutThroughName, cutThroughFilterName, lab.ForkName}
	}
	return all
}

// hubPair makes a hub of the program with a peer on either side of it, and waits
// until they reach each other.
func hubPair(s *scope, o options, im lab.Implementation) (a, b *lab.Host, ends []end) {
	// Whether the kernel forwards decides nothing for a hub that does it itself,
	// but would hide that it does not.
	forward := !strings.Contains(strings.ReplaceAll(im.Sections, " ", ""), "PeerForwarding=on")
	star := lab.NewStar(s, lab.StarOptions{
		Peers: 2, Forward: forward, Quiet: true,
		Program: lab.Implementation{Name: lab.RouterName, Path: o.programs.Router(s), Learns: true},
	})
	hub := star.StartHub(im)
	a, b = star.Peer(1), star.Peer(2)
	traffic.WaitPing(s, a, lab.PeerTunnel4(2))
	return a, b, []end{{"hub", hub.Process}}
}

func measureHubUDP(s *scope, o options, im lab.Implementation) []result {
	a, b, ends := hubPair(s, o, im)
	m, err := traffic.NewRateMeter(a, b, lab.PeerTunnel4(1), lab.PeerTunnel4(2), hubSize)
	s.check(err)
	defer m.Close()
	defer quietRuntime()()
	return measureRates(s, o, m.Try, o.udpRate, ends)
}

func measureHubTCP(s *scope, o options, im lab.Implementation) []result {
	a, b, ends := hubPair(s, o, im)
	traffic.Iperf3Server(s, b, lab.PeerTunnel4(2))
	before := usage(s, ends)[0].CPU
	order := newTCPOrder(a, b)
	var results []result
	var gigabytes float64
	var retransmits int
	for _, reverse := range []bool{false, true} {
		r, err := traffic.Iperf3Streams(a, lab.PeerTunnel4(2), o.duration, 1, reverse)
		s.check(err)
		way := "there"
		if reverse {
			way = "back"
		}
		gigabytes += float64(r.Bytes) / 1e9
		retransmits += r.Retransmits
		results = append(results, result{Figure: way, Unit: "Gbit/s", Main: true, Value: r.BitsPerSecond / 1e9, Note: fmt.Sprintf("%d retransmits", r.Retransmits)})
	}
	if gigabytes == 0 {
		s.Fatalf("nothing arrives")
	}
	after := usage(s, ends)
	results = append(results,
		result{Figure: "CPU of the hub", Unit: "seconds per GB", Less: true, Main: true, Value: (after[0].CPU - before).Seconds() / gigabytes},
		result{Figure: "retransmits", Unit: "per GB", Less: true, Value: float64(retransmits) / gigabytes},
		order.result())
	return append(results, memory(after, ends)...)
}

func measureHubLatency(s *scope, o options, im lab.Implementation) []result {
	a, b, ends := hubPair(s, o, im)
	defer quietRuntime()()
	l, err := traffic.RoundTrips(a, b, lab.PeerTunnel4(1), lab.PeerTunnel4(2), 5*time.Millisecond, o.duration)
	s.check(err)
	return append(latencyResults(l), memory(usage(s, ends), ends)...)
}

// A tcpOrder counts what TCP at two hosts notices of reordering.
type tcpOrder struct {
	hosts          []*lab.Host
	reordered, out int64 // when it began
}

func newTCPOrder(hosts ...*lab.Host) *tcpOrder {
	o := &tcpOrder{hosts: hosts}
	o.reordered, o.out = o.counters()
	return o
}

// counters returns how often a sender found that the path had reordered, and the
// segments sent.
func (o *tcpOrder) counters() (reordered, out int64) {
	for _, h := range o.hosts {
		reordered += h.Counter("TcpExt", "TCPSACKReorder") + h.Counter("TcpExt", "TCPTSReorder")
		out += h.Counter("Tcp", "OutSegs")
	}
	return reordered, out
}

func (o *tcpOrder) result() result {
	reordered, out := o.counters()
	return result{
		Figure: "reordering noticed by TCP", Unit: "per million segments", Less: true,
		Value: 1e6 * float64(reordered-o.reordered) / float64(max(out-o.out, 1)),
	}
}
