// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stoppedNote is said when a signal has ended the command.
const stoppedNote = "Stopped before the end: not all programs have the same number of runs."

// machine is what a figure means nothing without.
type machine struct {
	Date      string `json:"date"`
	CPU       string `json:"cpu"`
	CPUs      int    `json:"cpus"`
	Kernel    string `json:"kernel"`
	Go        string `json:"go"`
	LoadStart string `json:"load_at_start"` // average of a minute
	LoadEnd   string `json:"load"`
	Command   string `json:"command"`
	Stopped   bool   `json:"stopped,omitempty"` // before the end
}

func describeMachine(args []string) machine {
	m := machine{
		Date:      time.Now().UTC().Format(time.DateOnly),
		CPU:       "unknown",
		CPUs:      runtime.NumCPU(),
		Go:        runtime.Version(),
		LoadStart: loadAverage(),
		Command:   strings.TrimSpace("go run ./cmd/bench " + strings.Join(args, " ")),
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
	return m
}

// loadAverage returns that of the last minute; "" when it is unknown.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	load, _, _ := strings.Cut(string(text), " ")
	return load
}
