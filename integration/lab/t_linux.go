// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"time"
)

// T is the part of testing.TB that the lab uses, so that commands can use it
// too. Fatalf does not return.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	Failed() bool
	TempDir() string
}

// Patience bounds waits for something that should happen soon on an idle
// machine. It is long because it only passes in full when a test fails.
const Patience = 30 * time.Second

// Wait calls cond until it returns nil; when that takes longer than limit, the
// test fails with the last error.
func Wait(t T, limit time.Duration, what string, cond func() error) {
	t.Helper()
	if err := poll(limit, cond); err != nil {
		t.Fatalf("%s: not within %v: %v", what, limit, err)
	}
}

func poll(limit time.Duration, cond func() error) error {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(pause*2, 20*time.Millisecond) {
		err := cond()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}
