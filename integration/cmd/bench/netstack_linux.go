// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"math"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"golang.org/x/sys/unix"
)

// netstackWorks are forwards of a program without an interface and privileges.
func netstackWorks() []work {
	forwards := []string{lab.RouterName, lab.PlainName, tunName}
	var all []work
	for _, n := range []int{1, 8} {
		all = append(all, work{
			name: fmt.Sprintf("forward%d", n), title: fmt.Sprintf("TCP through a forward, %s, both ways", plural(n, "stream")), defaults: forwards,
			measure: func(s *scope, o options, im lab.Implementation) []result { return measureForward(s, o, im, n) },
		})
	}
	all = append(all, work{
		name: fmt.Sprintf("forwardudp%d", forwardSize), title: fmt.Sprintf("UDP through a forward, %d bytes of payload, 1 flow, both ways", forwardSize),
		defaults: forwards, measure: measureForwardUDP,
	}, work{
		name: "exec1", title: "TCP of a program inside of the tunnel, 1 stream, both ways", defaults: []string{lab.RouterName, tunName}, inside: true,
		baseline: tunName, measure: measureExec,
	}, work{
		name: "churn", title: fmt.Sprintf("TCP connections through a forward, one byte each way, %d side by side", traffic.ChurnWorkers),
		defaults: forwards, measure: measureChurn,
	}, work{
		name: "idle", title: "idle TCP connections through a forward", defaults: []string{lab.RouterName, lab.PlainName}, measure: measureIdle,
	})
	for i := range all {
		w := &all[i]
		w.group, w.wireGuardOnly = groupNetstack, true
		if w.baseline == "" {
			w.baseline = lab.PlainName
		}
	}
	return all
}

const (
	// churnRate is how many connections a second a program should carry without
	// growing, for holdFactor times the length of a run.
	churnRate  = 1000
	holdFactor = 12
	// settle is how long a program has to free what it does not need.
	settle = 3 * time.Second
)

// manyPorts lets a host make connections as fast as they come: one that is closed
// keeps its port for a minute.
func manyPorts(h *lab.Host) {
	h.Sysctl("net/ipv4/ip_local_port_range", "1024 65535")
	h.Sysctl("net/ipv4/tcp_tw_reuse", "1")
}

// manyFiles lets this process and those it starts have as many descriptors as
// they may.
func manyFiles(s *scope) {
	var limit unix.Rlimit
	s.check(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	limit.Cur = limit.Max
	s.check(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}

// measureChurn measures how many connections a second are possible, and whether a
// lower rate can be kept for as long as closed connections are remembered.
func measureChurn(s *scope, o options, im lab.Implementation) []result {
	manyFiles(s)
	f := forwardedPair(s, o, im)
	manyPorts(f.a)
	manyPorts(f.b)
	traffic.Answerer(s, f.b, far(answerPort))
	to := f.at(answerPort)
	traffic.WaitExchange(s, f.a, to)
	program := f.ends[0].process
	before := holdings(s, program)

	cpu := usage(s, f.ends)[0].CPU
	e, err := traffic.Churn(f.a, to, 0, o.duration)
	s.check(err)
	if e.Done == 0 {
		s.Fatalf("no connection: %v", e.Err)
	}
	cpu = usage(s, f.ends)[0].CPU - cpu
	results := []result{
		{Figure: "most", Unit: "connections/s", Main: true, Value: e.Rate()},
		{Figure: "CPU", Unit: "µs per connection", Less: true, Value: micros(cpu) / float64(e.Done)},
		{Figure: "failed", Unit: "%", Less: true, Value: failed(e), Note: note(e)},
	}

	var half lab.Holdings
	for i := range 2 {
		e, err = traffic.Churn(f.a, to, churnRate, holdFactor*o.duration/2)
		s.check(err)
		at := fmt.Sprintf("%s half of %v at %d/s: ", []string{"first", "second"}[i], holdFactor*o.duration, churnRate)
		results = append(results,
			result{Figure: at + "done", Unit: "connections/s", Value: e.Rate()},
			result{Figure: at + "failed", Unit: "%", Less: true, Main: i == 1, Value: failed(e), Note: note(e)})
		if i == 0 {
			half = holdings(s, program)
		}
	}
	end := holdings(s, program)
	time.Sleep(settle)
	after := holdings(s, program)
	results = append(results,
		result{Figure: "memory at the start", Unit: "MiB", Less: true, Value: mebi(before.Memory)},
		result{Figure: "memory at half time", Unit: "MiB", Less: true, Value: mebi(half.Memory)},
		result{Figure: "memory at the end", Unit: "MiB", Less: true, Main: true, Value: mebi(end.Memory)},
		result{Figure: "descriptors more than at the start", Unit: "files", Less: true, Value: float64(after.Files - before.Files)},
		result{Figure: "threads", Unit: "threads", Less: true, Value: float64(after.Threads)})
	if im.Name != tunName {
		results = append(results, result{Figure: "goroutines afterwards", Unit: "goroutines", Less: true, Value: float64(program.Goroutines())})
	}
	return results
}

// failed returns the share of connections that failed, in percent.
func failed(e traffic.Exchanges) float64 {
	return 100 * float64(e.Failed) / math.Max(1, float64(e.Done+e.Failed))
}

func note(e traffic.Exchanges) string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// measureIdle measures what a connection takes that does nothing.
func measureIdle(s *scope, o options, im lab.Implementation) []result {
	manyFiles(s)
	f := forwardedPair(s, o, im)
	manyPorts(f.a)
	traffic.Answerer(s, f.b, far(answerPort))
	to := f.at(answerPort)
	traffic.WaitExchange(s, f.a, to)
	program := f.ends[0].process
	before := holdings(s, program)
	start := time.Now()
	release, err := traffic.HoldOpen(f.a, to, o.idle)
	s.check(err)
	took := time.Since(start)
	time.Sleep(settle)
	during := holdings(s, program)
	cpu := usage(s, f.ends)[0].CPU
	time.Sleep(settle)
	cpu = usage(s, f.ends)[0].CPU - cpu
	release()
	return []result{
		{Figure: fmt.Sprintf("memory of each of %d", o.idle), Unit: "KiB", Less: true, Main: true, Value: float64(during.Memory-before.Memory) / 1024 / float64(o.idle)},
		{Figure: "memory before", Unit: "MiB", Less: true, Value: mebi(before.Memory)},
		{Figure: "memory with all", Unit: "MiB", Less: true, Value: mebi(during.Memory)},
		{Figure: "descriptors of each", Unit: "files", Less: true, Value: float64(during.Files-before.Files) / float64(o.idle)},
		{Figure: "CPU while idle", Unit: "ms per s", Less: true, Value: float64(cpu.Milliseconds()) / settle.Seconds()},
		{Figure: "made", Unit: "connections/s", Value: float64(o.idle) / took.Seconds()},
	}
}

func holdings(s *scope, p *lab.Process) lab.Holdings {
	h, err := p.Holdings()
	s.check(err)
	return h
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }
