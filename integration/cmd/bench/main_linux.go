// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
)

func main() {
	lab.Main()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	impls, only []string
	runs        int
	duration    time.Duration
	size        int
	json        bool
	verbose     bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	impl := fs.String("impl", strings.Join(lab.Names(), ","), "programs to measure")
	only := fs.String("only", strings.Join(measurements, ","), "what to measure")
	seconds := fs.Int("seconds", 5, "length of a tcp or latency run, at most 25")
	fs.IntVar(&o.runs, "runs", 5, "runs of each program")
	fs.IntVar(&o.size, "size", 200, "bytes of payload of a udp packet")
	fs.BoolVar(&o.json, "json", false, "print every result as JSON instead of a table")
	fs.BoolVar(&o.verbose, "v", false, "print every udp trial to standard error")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.impls, o.only = strings.Split(*impl, ","), strings.Split(*only, ",")
	o.duration = time.Duration(*seconds) * time.Second
	for _, list := range []struct{ got, known []string }{{o.impls, lab.Names()}, {o.only, measurements}} {
		for _, name := range list.got {
			if !slices.Contains(list.known, name) {
				return o, fmt.Errorf("%q is none of %s", name, strings.Join(list.known, ", "))
			}
		}
	}
	if o.runs < 1 || *seconds < 1 || *seconds > 25 || fs.NArg() > 0 {
		return o, fmt.Errorf("want at least one run, 1 to 25 seconds and no other arguments")
	}
	return o, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err == flag.ErrHelp {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	dir, err := os.MkdirTemp("", "tunrouter-bench-")
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	defer os.RemoveAll(dir)

	results, err := measureAll(o, dir, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	if o.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "\t")
		err = enc.Encode(struct {
			Machine machine  `json:"machine"`
			Results []result `json:"results"`
		}{describeMachine(args), results})
	} else {
		err = writeTable(stdout, describeMachine(args), o.impls, results)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}
