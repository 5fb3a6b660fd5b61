// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// Of the search for the highest rate.
const (
	firstRate = 20_000 // packets a second
	maxLoss   = 0.01
)

// An end is a process of the program that is measured.
type end struct {
	name    string
	process *lab.Process
}

// usage returns what the ends have taken so far.
func usage(s *scope, ends []end) []lab.Usage {
	var all []lab.Usage
	for _, e := range ends {
		u, err := e.process.Usage()
		s.check(err)
		all = append(all, u)
	}
	return all
}

// measureRates searches for the highest rate, and then sends at a fixed one.
func measureRates(s *scope, o options, try func(int, time.Duration) (traffic.Trial, error), fixed int, ends []end) []result {
	return append(rates(s, o, try, fixed, ends), memory(usage(s, ends), ends)...)
}

// rates is [measureRates] without the memory.
func rates(s *scope, o options, try func(int, time.Duration) (traffic.Trial, error), fixed int, ends []end) []result {
	note := func(t traffic.Trial) {
		if o.verbose {
			s.Logf("\t%s", t)
		}
	}
	best, limited, err := traffic.Search(try, firstRate, o.trial, maxLoss, note)
	s.check(err)
	mark := ""
	if limited {
		mark = senderLimited
	}
	results := []result{
		{Figure: "most under 1 % loss", Unit: "thousand packets/s", Main: true, Value: float64(best.Rate) / 1e3, Note: mark},
		{Figure: "lost at that rate", Unit: "%", Less: true, Value: 100 * best.Loss()},
		{Figure: "reordered at that rate", Unit: "per million", Less: true, Value: perMillion(best)},
	}

	before := usage(s, ends)
	t, err := try(fixed, o.duration)
	s.check(err)
	after := usage(s, ends)
	note(t)
	if t.Received == 0 {
		s.Fatalf("at %d packets/s nothing arrives", fixed)
	}
	at := fmt.Sprintf(" at %d packets/s", fixed)
	// Being late now and then does not change the mean, as it does the loss.
	paced := ""
	switch {
	case t.Took.Seconds() > 1.05*o.duration.Seconds():
		paced = senderLimited
	case t.Loss() >= maxLoss:
		paced = tooFast
	}
	var total time.Duration
	for i, e := range ends {
		cpu := after[i].CPU - before[i].CPU
		total += cpu
		if len(ends) > 1 {
			results = append(results, result{Figure: "CPU of the " + e.name + at, Unit: "µs per packet", Less: true, Value: micros(cpu) / float64(t.Received), Note: paced})
		}
	}
	return append(results,
		result{Figure: "CPU" + at, Unit: "µs per packet", Less: true, Main: true, Value: micros(total) / float64(t.Received), Note: paced},
		result{Figure: "lost" + at, Unit: "%", Less: true, Value: 100 * t.Loss(), Note: paced},
		result{Figure: "reordered" + at, Unit: "per million", Less: true, Value: perMillion(t), Note: paced})
}

// memory returns the peak memory of each end.
func memory(used []lab.Usage, ends []end) []result {
	var results []result
	for i, e := range ends {
		results = append(results, result{Figure: "peak memory of the " + e.name, Unit: "MiB", Less: true, Value: float64(used[i].PeakMemory) / (1 << 20)})
	}
	return results
}

func perMillion(t traffic.Trial) float64 {
	return 1e6 * float64(t.Reordered) / float64(max(t.Received, 1))
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// quietRuntime keeps this process from collecting garbage while it measures.
func quietRuntime() (restore func()) {
	runtime.GC()
	percent := debug.SetGCPercent(-1)
	return func() { debug.SetGCPercent(percent) }
}
