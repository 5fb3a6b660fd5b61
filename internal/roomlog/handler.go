// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package roomlog

import (
	"context"
	"log/slog"
)

// Key is the attribute that says which room a record is from.
const Key = "room"

// For returns a logger for a room. With a handler that is none of this package it only
// has the attribute.
func For(logger *slog.Logger, room string) *slog.Logger { return logger.With(Key, room) }

// Handler returns a handler that lets through what levels say, and hands it to inner,
// which has to let all of it through.
func Handler(inner slog.Handler, levels *Levels) slog.Handler {
	return &handler{inner: inner, levels: levels}
}

// Of returns the levels that a logger follows; nil if its handler is none of this package.
func Of(logger *slog.Logger) *Levels {
	if h, ok := logger.Handler().(*handler); ok {
		return h.levels
	}
	return nil
}

type handler struct {
	inner   slog.Handler
	levels  *Levels
	room    string // "": none
	grouped bool   // attributes are in a group now, where room means something else
}

// Enabled implements [slog.Handler].
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.levels.enabled(h.room, level) && h.inner.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h *handler) Handle(ctx context.Context, r slog.Record) error { return h.inner.Handle(ctx, r) }

// WithAttrs implements [slog.Handler]. Of several rooms the last one counts.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	out.inner = h.inner.WithAttrs(attrs)
	for _, a := range attrs {
		if a.Key == Key && !h.grouped && a.Value.Kind() == slog.KindString {
			out.room = a.Value.String()
		}
	}
	return &out
}

// WithGroup implements [slog.Handler].
func (h *handler) WithGroup(name string) slog.Handler {
	out := *h
	out.inner = h.inner.WithGroup(name)
	out.grouped = h.grouped || name != ""
	return &out
}
