// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// LeakProbe returns a function that reports what is there and was not at the
// time of the call, after giving it the timeout to go away.
func LeakProbe(tb testing.TB) func(timeout time.Duration) string {
	startPoller(tb)
	before, ignore := openFiles(tb), goleak.IgnoreCurrent()
	return func(timeout time.Duration) string { return leaks(tb, before, ignore, timeout) }
}

var Poll = poll
