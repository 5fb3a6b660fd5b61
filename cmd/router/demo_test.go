// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// A terminal is a buffer that says it is one.
type terminal struct{ bytes.Buffer }

func (*terminal) Stat() (fs.FileInfo, error) {
	return fs.Stat(fstest.MapFS{"tty": {Mode: fs.ModeDevice | fs.ModeCharDevice}}, "tty")
}

func TestDemo(t *testing.T) {
	testutil.LeakCheck(t)
	out := new(terminal)
	a := &app{out: out}
	if err := a.demo(t.Context(), 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 6 {
		t.Errorf("%d lines, want one for each of 6 steps:\n%q", len(lines), lines)
	}
	last := lines[len(lines)-1]
	if states := strings.Count(last, "\r"); states < 2 || !strings.Contains(last, "bit/s from B to A") || !strings.Contains(last, "[==") {
		t.Errorf("the measurement has no progress and result: %q", last)
	}
}

// TestDemoEndsWithContext: nothing stays when it ends in the middle.
func TestDemoEndsWithContext(t *testing.T) {
	testutil.LeakCheck(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := &cancelling{after: "http", cancel: cancel}
	if err := (&app{out: out}).demo(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// A cancelling writer ends a context when a word is written.
type cancelling struct {
	after  string
	cancel context.CancelFunc
}

func (c *cancelling) Write(b []byte) (int, error) {
	if strings.Contains(string(b), c.after) {
		c.cancel()
	}
	return len(b), nil
}
