// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil

import (
	"io"
	"log/slog"
	"sync"
	"testing"
)

// Logger returns a logger of all levels that writes to the test's output, seen
// when the test fails or with -v. Lines logged after the end of the test are
// discarded instead of making it panic.
func Logger(tb testing.TB) *slog.Logger {
	w := &output{w: tb.Output()}
	tb.Cleanup(w.stop)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// output forwards writes until it is stopped.
type output struct {
	mu sync.Mutex
	w  io.Writer // nil after stop
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.w == nil {
		return len(b), nil
	}
	return o.w.Write(b)
}

func (o *output) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = nil
}
