// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// measurements are the names for -only, in the order in which they are run.
var measurements = []string{"tcp", "udp", "latency"}

// A result is one figure of one run.
type result struct {
	Figure string  `json:"figure"`
	Impl   string  `json:"impl"`
	Run    int     `json:"run"`
	Value  float64 `json:"value"`
	Note   string  `json:"note,omitempty"`
}

// Figures, and whether more is better.
const (
	figureTCP = "TCP, one stream, Gbit/s"
	figureUDP = "UDP, thousand packets/s under 1 % loss"
	figureP50 = "round trip p50, µs"
	figureP99 = "round trip p99, µs"
)

// figures is the order of the table.
var figures = []string{figureTCP, figureUDP, figureP50, figureP99}

// measureAll runs everything, interleaved, and reports progress to log.
func measureAll(o options, dir string, log io.Writer) ([]result, error) {
	programs := &lab.Programs{Dir: dir}
	impls := make([]lab.Implementation, 0, len(o.impls))
	err := inScope("build", dir, log, func(s *scope) {
		for _, name := range o.impls {
			fmt.Fprintf(log, "building %s\n", name)
			impls = append(impls, programs.Implementation(s, name))
		}
	})
	if err != nil {
		return nil, err
	}
	var results []result
	for _, what := range o.only {
		for run := range o.runs {
			for _, im := range impls {
				name := fmt.Sprintf("%s, %s, run %d of %d", what, im.Name, run+1, o.runs)
				err := inScope(name, dir, log, func(s *scope) {
					for _, r := range measure(s, o, what, im) {
						r.Impl, r.Run = im.Name, run
						fmt.Fprintf(log, "%s: %s: %.2f %s\n", name, r.Figure, r.Value, r.Note)
						results = append(results, r)
					}
				})
				if err != nil {
					return nil, err
				}
			}
		}
	}
	return results, nil
}

// measure makes a tunnel and takes one measurement on it.
func measure(s *scope, o options, what string, im lab.Implementation) []result {
	net := lab.TwoHosts(1500).Build(s)
	a, b := net.Host("a"), net.Host("b")
	lab.StartTunnel(lab.TunnelOptions{A: im, B: im, HostA: a, HostB: b, OuterA: lab.A4, OuterB: lab.B4, Quiet: true})
	traffic.WaitPing(s, a, lab.TunnelB4)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // no collections while measuring

	switch what {
	case "tcp":
		traffic.Iperf3Server(s, b, lab.TunnelB4)
		r, err := traffic.Iperf3(a, lab.TunnelB4, o.duration)
		if err != nil {
			s.Fatalf("%v", err)
		}
		return []result{{Figure: figureTCP, Value: r.BitsPerSecond / 1e9, Note: fmt.Sprintf("%d retransmits", r.Retransmits)}}
	case "udp":
		return []result{measureUDP(s, o, a, b)}
	case "latency":
		l, err := traffic.RoundTrips(a, b, lab.TunnelA4, lab.TunnelB4, 5*time.Millisecond, o.duration)
		if err != nil {
			s.Fatalf("%v", err)
		}
		note := fmt.Sprintf("%d samples, %d lost", l.Samples, l.Lost)
		return []result{
			{Figure: figureP50, Value: float64(l.P50.Nanoseconds()) / 1e3, Note: note},
			{Figure: figureP99, Value: float64(l.P99.Nanoseconds()) / 1e3, Note: note},
		}
	}
	s.Fatalf("no measurement %q", what)
	return nil
}

// Trials of the udp measurement.
const (
	firstRate = 20_000
	maxLoss   = 0.01
	trial     = time.Second
)

func measureUDP(s *scope, o options, a, b *lab.Host) result {
	m, err := traffic.NewRateMeter(a, b, lab.TunnelA4, lab.TunnelB4, o.size)
	if err != nil {
		s.Fatalf("%v", err)
	}
	defer m.Close()
	note := func(t traffic.Trial) {
		if o.verbose {
			s.Logf("\t%s", t)
		}
	}
	best, limited, err := m.HighestRate(firstRate, trial, maxLoss, note)
	if err != nil {
		s.Fatalf("%v", err)
	}
	r := result{Figure: figureUDP, Value: float64(best.Rate) / 1e3}
	if limited {
		r.Note = senderLimited
	}
	return r
}

// senderLimited notes that the sender, not the tunnel, was at its limit.
const senderLimited = "*"
