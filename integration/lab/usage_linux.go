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
	u, err := UsageOf(p.Pid())
	if err != nil {
		return u, fmt.Errorf("%s: %w", p.what, err)
	}
	return u, nil
}

// UsageOf is [Process.Usage] for a process by its id, as seen from outside the
// hosts.
func UsageOf(pid int) (Usage, error) {
	var ts unix.Timespec
	// The clock of a process, clock_getcpuclockid(3): the precise sum of
	// its threads, where /proc/PID/stat has ticks of 10 ms.
	const cpuclockSched = 2
	if err := unix.ClockGettime(int32(^pid<<3|cpuclockSched), &ts); err != nil {
		return Usage{}, fmt.Errorf("CPU time: %w", err)
	}
	peak, err := statusValue(pid, "VmHWM")
	if err != nil {
		return Usage{}, err
	}
	return Usage{CPU: time.Duration(ts.Nano()), PeakMemory: peak << 10}, nil
}

// Holdings are what a process has at the moment.
type Holdings struct {
	Memory  int64 // resident, bytes
	Files   int   // open descriptors
	Threads int
}

// Holdings returns what a running process has.
func (p *Process) Holdings() (Holdings, error) {
	resident, err := statusValue(p.Pid(), "VmRSS")
	if err != nil {
		return Holdings{}, err
	}
	threads, err := statusValue(p.Pid(), "Threads")
	if err != nil {
		return Holdings{}, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid()))
	return Holdings{Memory: resident << 10, Files: len(files), Threads: int(threads)}, err
}

// Goroutines ends a Go program with SIGQUIT and returns how many goroutines it
// had, from the stacks that it prints.
func (p *Process) Goroutines() int {
	p.host.t.Helper()
	p.Signal(unix.SIGQUIT)
	p.Wait()
	n := 0
	for line := range strings.Lines(p.Output()) {
		if strings.HasPrefix(line, "goroutine ") && strings.HasSuffix(line, "]:\n") {
			n++
		}
	}
	if n == 0 {
		p.host.t.Fatalf("host %s: %s printed no goroutines:\n%s", p.host.Name, p.what, p.Output())
	}
	return n
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

// Status returns the text of /proc/PID/status.
func (p *Process) Status() string {
	p.host.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		p.host.t.Fatalf("host %s: %v", p.host.Name, err)
	}
	return string(b)
}
