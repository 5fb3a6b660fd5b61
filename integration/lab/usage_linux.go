// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Usage is what a process has taken since it started.
type Usage struct {
	CPU        time.Duration // user and system, of all threads, ended ones too
	PeakMemory int64         // bytes, the most that was resident at once (VmHWM)
}

// Usage returns what a running process has taken. What the kernel does for it in
// soft interrupts is in CPU as far as it was done on its threads, which on a
// veth pair is nearly all of sending; what ksoftirqd does is in no process.
func (p *Process) Usage() (Usage, error) {
	var ts unix.Timespec
	// The clock of a process, clock_getcpuclockid(3): the precise sum of
	// its threads, where /proc/PID/stat has ticks of 10 ms.
	const cpuclockSched = 2
	if err := unix.ClockGettime(int32(^p.Pid()<<3|cpuclockSched), &ts); err != nil {
		return Usage{}, fmt.Errorf("CPU time of %s: %w", p.what, err)
	}
	peak, err := statusValue(p.Pid(), "VmHWM")
	if err != nil {
		return Usage{}, err
	}
	return Usage{CPU: time.Duration(ts.Nano()), PeakMemory: peak << 10}, nil
}

// statusValue returns a number of /proc/PID/status.
func statusValue(pid int, key string) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && name == key {
			var n int64
			_, err := fmt.Sscan(value, &n)
			return n, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", f.Name(), key)
}
