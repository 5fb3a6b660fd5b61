// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"context"
	"log/slog"
)

// A recorder is a [slog.Handler] that keeps warnings and errors as text, for the
// parent's log. It is used by one goroutine.
type recorder struct {
	into  *[]string
	attrs string // of the logger, as text
}

// Enabled implements [slog.Handler].
func (r *recorder) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle implements [slog.Handler].
func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	text := record.Message + r.attrs
	record.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	*r.into = append(*r.into, text)
	return nil
}

// WithAttrs implements [slog.Handler].
func (r *recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *r
	for _, a := range attrs {
		out.attrs += " " + a.String()
	}
	return &out
}

// WithGroup implements [slog.Handler]; names of groups are left out.
func (r *recorder) WithGroup(string) slog.Handler { return r }
