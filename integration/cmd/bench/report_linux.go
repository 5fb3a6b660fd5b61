// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// machine is what a figure means nothing without.
type machine struct {
	Date    string `json:"date"`
	CPU     string `json:"cpu"`
	CPUs    int    `json:"cpus"`
	Kernel  string `json:"kernel"`
	Go      string `json:"go"`
	Load    string `json:"load"` // average of the last minute
	Command string `json:"command"`
}

func describeMachine(args []string) machine {
	m := machine{
		Date:    time.Now().UTC().Format(time.DateOnly),
		CPU:     "unknown",
		CPUs:    runtime.NumCPU(),
		Go:      runtime.Version(),
		Command: strings.TrimSpace("go run ./cmd/bench " + strings.Join(args, " ")),
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(text), " ")
	}
	return m
}

// writeTable writes a Markdown table: one row for each figure and program.
func writeTable(w io.Writer, m machine, impls []string, results []result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d CPUs, Linux %s, %s; load average at the end %s.\n\n    %s\n\n", m.Date, m.CPU, m.CPUs, m.Kernel, m.Go, m.Load, m.Command)
	b.WriteString("| figure | program | median | least | most | to fork |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
	limited := false
	for _, figure := range figures {
		reference, _, _ := values(results, figure, lab.ForkName)
		for _, impl := range impls {
			v, mark, ok := values(results, figure, impl)
			if !ok {
				continue
			}
			ratio := "—"
			if len(reference) > 0 {
				ratio = fmt.Sprintf("%.2f", median(v)/median(reference))
			}
			if mark {
				limited = true
			}
			fmt.Fprintf(&b, "| %s | %s | %.2f%s | %.2f | %.2f | %s |\n",
				figure, impl, median(v), map[bool]string{true: senderLimited}[mark], v[0], v[len(v)-1], ratio)
		}
	}
	if limited {
		b.WriteString("\n\\* In some run the sender was at its limit, not the tunnel.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// values returns the values of a figure for a program in ascending order, and
// whether the sender limited any.
func values(results []result, figure, impl string) (v []float64, mark, ok bool) {
	for _, r := range results {
		if r.Figure == figure && r.Impl == impl {
			v = append(v, r.Value)
			mark = mark || r.Note == senderLimited
		}
	}
	slices.Sort(v)
	return v, mark, len(v) > 0
}

// median returns the middle of ascending values.
func median(v []float64) float64 {
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}
