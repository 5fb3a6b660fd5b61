// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"strconv"
	"strings"
)

// A processors is the time of all processors of the machine, in ticks.
type processors struct{ idle, total int64 }

func (p processors) since(before processors) processors {
	return processors{p.idle - before.idle, p.total - before.total}
}

// processorTime returns the time since the machine started: it says whether
// something else than the processors was the limit.
func processorTime(s *scope) (p processors) {
	text, err := os.ReadFile("/proc/stat")
	s.check(err)
	line, _, _ := strings.Cut(string(text), "\n")
	// cpu, user, nice, system, idle, iowait, irq, softirq, steal, …; what guests
	// take is in user, too.
	for i, field := range strings.Fields(line)[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		s.check(err)
		p.total += n
		if i == 3 || i == 4 {
			p.idle += n
		}
	}
	return p
}
