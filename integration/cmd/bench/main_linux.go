// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"golang.org/x/sys/unix"
)

func main() {
	lab.Main()
	traffic.Main()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
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
	if err := os.Chmod(dir, 0o755); err != nil { // some programs run as nobody
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(stop)

	m := describeMachine(args)
	p := newProgress(stderr, o.runTotal())
	c := new(collector)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		measureAll(o, dir, p, c)
	}()
	select {
	case <-finished:
	case <-stop:
		// The hosts, and all that runs in them, end with this process.
		m.Stopped = true
	}
	p.end()
	m.LoadEnd = loadAverage()
	results := c.all()
	if err := write(o, m, results, stdout); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	switch {
	case m.Stopped:
		fmt.Fprintln(stderr, "bench: stopped before the end")
		return 130
	case slices.ContainsFunc(results, func(r result) bool { return r.Error != "" && !leftOut(r) }):
		fmt.Fprintln(stderr, "bench: some runs failed, see the table")
		return 1
	}
	return 0
}

// write writes what was asked for.
func write(o options, m machine, results []result, stdout io.Writer) error {
	if o.json == "-" {
		if err := writeJSON(stdout, m, results); err != nil {
			return err
		}
	} else if err := writeTable(stdout, m, o.works, results); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{o.json, func(w io.Writer) error { return writeJSON(w, m, results) }},
		{o.svg, func(w io.Writer) error { return writeSVG(w, m, o.works, results) }},
	} {
		if f.name == "" || f.name == "-" {
			continue
		}
		file, err := os.Create(f.name)
		if err != nil {
			return err
		}
		if err := f.write(file); err != nil {
			file.Close()
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}
