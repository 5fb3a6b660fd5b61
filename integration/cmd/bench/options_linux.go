// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// options are the command line.
type options struct {
	impls            []string
	paths            map[string]string // of implementations that are not built
	sections         map[string]string // of the files of those that have some
	works            []work
	runs             int
	duration, trial  time.Duration
	udpRate, hubRate int // packets a second
	idle             int // connections
	sessions         int // of a relay
	quick            bool
	json, svg        string
	verbose          bool

	programs *lab.Programs // set while it measures
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	impl := fs.String("impl", strings.Join(lab.ProgramNames(), ","), "programs to measure; NAME=PATH is a program that exists and has the command line of the router, NAME=PATH:KEY=VALUE;KEY=VALUE has lines of [Router] too, PATH router is the one that is built")
	only := fs.String("only", strings.Join(groups, ","), "works to measure: groups, or names such as tcp4, udp200x16, hub64, hub64-host")
	seconds := fs.Int("seconds", 5, "length of a tcp or latency run and of sending at a fixed rate, at most 25")
	fs.BoolVar(&o.quick, "quick", false, "one run of one second unless said otherwise, with trials of 0.2 s: to see that it works")
	size := fs.Int("size", 0, "bytes of payload of a udp packet; 0: "+fmt.Sprint(udpSizes))
	fs.IntVar(&o.runs, "runs", 5, "runs of each program")
	fs.IntVar(&o.udpRate, "udprate", 10_000, "packets/s at which the CPU time of udp is taken; the slowest program must carry it")
	fs.IntVar(&o.hubRate, "hubrate", 20_000, "packets/s at which the CPU time of hub is taken; the slowest program must carry it")
	fs.IntVar(&o.idle, "idle", 10_000, "connections of idle, at most 25,000")
	fs.IntVar(&o.sessions, "sessions", 10_000, "sessions of relaysessions, at most 10,000")
	fs.StringVar(&o.json, "json", "", "write every result as JSON to this `file`; - or none: to standard output, instead of the table")
	fs.StringVar(&o.svg, "svg", "", "draw the chart to this `file`")
	fs.BoolVar(&o.verbose, "v", false, "print every trial to standard error")
	if err := fs.Parse(bareJSON(args)); err != nil {
		return o, err
	}
	o.duration, o.trial = time.Duration(*seconds)*time.Second, time.Second
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.quick {
		if !given["runs"] {
			o.runs = 1
		}
		if !given["seconds"] {
			o.duration = time.Second
		}
		if !given["idle"] {
			o.idle = 1000
		}
		if !given["sessions"] {
			o.sessions = 1000
		}
		o.trial = 200 * time.Millisecond
	}
	o.paths, o.sections = make(map[string]string), make(map[string]string)
	for item := range strings.SplitSeq(*impl, ",") {
		if err := o.parseImpl(item); err != nil {
			return o, err
		}
	}
	sizes := udpSizes
	if *size != 0 {
		sizes = []int{*size}
	}
	var err error
	if o.works, err = choose(works(sizes), strings.Split(*only, ",")); err != nil {
		return o, err
	}
	o.assign(given["impl"])
	if o.runs < 1 || *seconds < 1 || *seconds > 25 || fs.NArg() > 0 {
		return o, fmt.Errorf("want at least one run, 1 to 25 seconds and no other arguments")
	}
	if o.udpRate < 100 || o.hubRate < 100 || *size < 0 || *size > 0 && *size < 8 || *size > 1472 {
		return o, fmt.Errorf("want rates from 100 packets/s and a size from 8 to 1472 bytes")
	}
	if o.idle < 1 || o.idle > 25_000 {
		return o, fmt.Errorf("want 1 to 25,000 idle connections")
	}
	if o.sessions < 1 || o.sessions > 10_000 {
		return o, fmt.Errorf("want 1 to 10,000 sessions")
	}
	return o, nil
}

// assign says which programs each work measures: those of -impl, or the work's own
// when that was not given.
func (o *options) assign(given bool) {
	names, sections := variants()
	for i := range o.works {
		w := &o.works[i]
		w.impls = o.impls
		if !given && w.defaults != nil {
			w.impls = w.defaults
		}
	}
	for _, name := range names {
		if slices.Contains(o.all(), name) {
			o.sections[name] = sections[name]
		}
	}
}

// all returns the programs of all works, in the order in which they come.
func (o options) all() []string {
	var all []string
	for _, w := range o.works {
		for _, name := range w.impls {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// runTotal returns the number of all runs.
func (o options) runTotal() int {
	n := 0
	for _, w := range o.works {
		n += len(w.impls) * o.runs
	}
	return n
}

// bareJSON gives a -json without a file, as it used to be, the file -.
func bareJSON(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if (arg == "-json" || arg == "--json") && (i+1 == len(args) || len(args[i+1]) > 1 && args[i+1][0] == '-') {
			args[i] = "-json=-"
		}
	}
	return args
}
