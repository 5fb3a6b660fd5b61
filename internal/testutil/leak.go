// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// leakTimeout bounds how long goroutines and files may take to go away. It is
// long because it only passes in full when the test fails, and because a
// race-enabled build on a busy machine is slow.
const leakTimeout = 10 * time.Second

// LeakCheck fails the test when it ends with goroutines or (on Linux) open
// files that were not there when LeakCheck was called, and prints them. Call it
// first: cleanups run last to first, and what they close must be closed by
// then. Not for tests that run in parallel with others.
func LeakCheck(tb testing.TB) {
	tb.Helper()
	startPoller(tb)
	before := openFiles(tb)
	ignore := goleak.IgnoreCurrent()
	tb.Cleanup(func() {
		if tb.Failed() {
			return // what a failed test left behind hides why it failed
		}
		if report := leaks(tb, before, ignore, leakTimeout); report != "" {
			tb.Errorf("left behind by the test:\n%s", report)
		}
	})
}

// leaks waits until nothing more is there than before and returns "", or a
// description of what is after the timeout.
func leaks(tb testing.TB, before map[int]string, ignore goleak.Option, timeout time.Duration) string {
	deadline := time.Now().Add(timeout)
	for {
		var b strings.Builder
		if err := goleak.Find(ignore); err != nil {
			fmt.Fprintf(&b, "%v\n", err)
		}
		after := openFiles(tb)
		for _, fd := range slices.Sorted(maps.Keys(after)) {
			if before[fd] != after[fd] {
				fmt.Fprintf(&b, "open file %d: %s\n", fd, after[fd])
			}
		}
		if b.Len() == 0 || time.Now().After(deadline) {
			return b.String()
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// startPoller makes the runtime open the files of its network poller, which it
// does on first use and keeps.
func startPoller(tb testing.TB) {
	tb.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		tb.Fatalf("pipe: %v", err)
	}
	r.Close()
	w.Close()
}
