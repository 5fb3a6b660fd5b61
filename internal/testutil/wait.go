// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil

import (
	"testing"
	"time"
)

// Eventually calls cond until it returns nil, and fails the test with its last
// error when timeout passes before. It is for conditions outside the process
// that nothing announces; inside it, wait on a channel.
func Eventually(tb testing.TB, timeout time.Duration, what string, cond func() error) {
	tb.Helper()
	if err := poll(timeout, cond); err != nil {
		tb.Fatalf("%s: not within %v: %v", what, timeout, err)
	}
}

// poll calls cond until it returns nil or timeout has passed; it returns the
// last error. The pause between calls grows from 1 to 50 ms.
func poll(timeout time.Duration, cond func() error) error {
	deadline := time.Now().Add(timeout)
	for pause := time.Millisecond; ; pause = min(pause*2, 50*time.Millisecond) {
		err := cond()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}
