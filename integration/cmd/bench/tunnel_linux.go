// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// pair makes a tunnel of the program between two hosts, and waits until it
// carries packets.
func pair(s *scope, im lab.Implementation) (a, b *lab.Host, ends []end) {
	net := lab.TwoHosts(1500).Build(s)
	a, b = net.Host("a"), net.Host("b")
	ta, tb := lab.StartPair(lab.TunnelOptions{A: im, B: im, HostA: a, HostB: b, OuterA: lab.A4, OuterB: lab.B4, Quiet: true})
	traffic.WaitPing(s, a, lab.TunnelB4)
	return a, b, []end{{"sender", ta}, {"receiver", tb}}
}

// measureTCP measures one way after the other on the same tunnel.
func measureTCP(s *scope, o options, im lab.Implementation, streams int) []result {
	a, b, ends := pair(s, im)
	traffic.Iperf3Server(s, b, lab.TunnelB4)
	var results []result
	order := newTCPOrder(a, b)
	var gigabytes float64
	var cpu [2]time.Duration // of the sender and of the receiver, whichever end it was
	var retransmits int
	for _, reverse := range []bool{false, true} {
		before := usage(s, ends)
		r, err := traffic.Iperf3Streams(a, lab.TunnelB4, o.duration, streams, reverse)
		s.check(err)
		after := usage(s, ends)
		way := "there"
		for i := range ends {
			role := i
			if reverse {
				way, role = "back", 1-i
			}
			cpu[role] += after[i].CPU - before[i].CPU
		}
		gigabytes += float64(r.Bytes) / 1e9
		retransmits += r.Retransmits
		results = append(results, result{Figure: way, Unit: "Gbit/s", Main: true, Value: r.BitsPerSecond / 1e9, Note: fmt.Sprintf("%d retransmits", r.Retransmits)})
	}
	if gigabytes == 0 {
		s.Fatalf("nothing arrives")
	}
	for _, c := range []struct {
		what string
		cpu  time.Duration
	}{{" of the sender", cpu[0]}, {" of the receiver", cpu[1]}, {"", cpu[0] + cpu[1]}} {
		results = append(results, result{Figure: "CPU" + c.what, Unit: "seconds per GB", Less: true, Main: c.what == "", Value: c.cpu.Seconds() / gigabytes})
	}
	results = append(results, result{Figure: "retransmits", Unit: "per GB", Less: true, Value: float64(retransmits) / gigabytes}, order.result())
	// Both ends have been both: the larger.
	used := usage(s, ends)
	used[0].PeakMemory = max(used[0].PeakMemory, used[1].PeakMemory)
	return append(results, memory(used, []end{{"larger end", nil}})...)
}

// measureUDP measures one way.
func measureUDP(s *scope, o options, im lab.Implementation, size, flows int) []result {
	a, b, ends := pair(s, im)
	m, err := traffic.NewFlowsMeter(a, b, lab.TunnelA4, lab.TunnelB4, size, flows)
	s.check(err)
	defer m.Close()
	defer quietRuntime()()
	return measureRates(s, o, m.Try, o.udpRate, ends)
}

func measureLatency(s *scope, o options, im lab.Implementation) []result {
	a, b, _ := pair(s, im)
	defer quietRuntime()()
	l, err := traffic.RoundTrips(a, b, lab.TunnelA4, lab.TunnelB4, 5*time.Millisecond, o.duration)
	s.check(err)
	return latencyResults(l)
}

func latencyResults(l traffic.Latency) []result {
	note := fmt.Sprintf("%d samples", l.Samples)
	return []result{
		{Figure: "round trip p50", Unit: "µs", Less: true, Main: true, Value: micros(l.P50), Note: note},
		{Figure: "round trip p99", Unit: "µs", Less: true, Main: true, Value: micros(l.P99), Note: note},
		{Figure: "unanswered", Unit: "%", Less: true, Value: 100 * float64(l.Lost) / float64(l.Lost+l.Samples)},
	}
}
