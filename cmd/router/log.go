// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/roomlog"
)

// A logging is the log of a router that runs: what is logged, and in which form. Both may
// change while it runs.
type logging struct {
	levels *roomlog.Levels
	json   atomic.Bool
}

// newLogging returns a log that goes to w, as text from info on. The journal knows the time
// by itself.
func newLogging(w io.Writer, journal bool) (*logging, *slog.Logger) {
	l := &logging{levels: new(roomlog.Levels)}
	all := slog.Level(math.MinInt)
	text := &slog.HandlerOptions{Level: all}
	if journal {
		text.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	// The two have the lock of one writer: a line stays whole when the form changes.
	shared := &lockedWriter{w: w}
	return l, slog.New(roomlog.Handler(&formats{
		asJSON: &l.json,
		json:   slog.NewJSONHandler(shared, &slog.HandlerOptions{Level: all}),
		text:   slog.NewTextHandler(shared, text),
	}, l.levels))
}

// set follows a configuration. Flags that are given count in its place.
func (l *logging) set(r *config.Router, level, format *choice) {
	setting := roomlog.Setting{Level: r.LogLevel, Rooms: make(map[string]slog.Level)}
	for _, room := range r.LogRooms {
		setting.Rooms[room.Room] = room.Level
	}
	if level.value != "" {
		setting = roomlog.Setting{Level: level.level()}
	}
	l.levels.Set(setting)
	json := r.LogFormat == config.LogFormatJSON
	if format.value != "" {
		json = format.value == config.LogFormatJSON.String()
	}
	l.json.Store(json)
}

// A formats is a handler for both forms of the log.
type formats struct {
	asJSON     *atomic.Bool
	json, text slog.Handler
}

func (f *formats) now() slog.Handler {
	if f.asJSON.Load() {
		return f.json
	}
	return f.text
}

// Enabled implements [slog.Handler].
func (f *formats) Enabled(ctx context.Context, l slog.Level) bool { return f.now().Enabled(ctx, l) }

// Handle implements [slog.Handler].
func (f *formats) Handle(ctx context.Context, r slog.Record) error { return f.now().Handle(ctx, r) }

// WithAttrs implements [slog.Handler].
func (f *formats) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &formats{f.asJSON, f.json.WithAttrs(attrs), f.text.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (f *formats) WithGroup(name string) slog.Handler {
	return &formats{f.asJSON, f.json.WithGroup(name), f.text.WithGroup(name)}
}

// A lockedWriter writes one thing at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// A choice is a flag with a few possible values.
type choice struct {
	value  string
	values []string
}

// String implements pflag.Value.
func (c *choice) String() string { return c.value }

// Type implements pflag.Value.
func (c *choice) Type() string { return strings.Join(c.values, "|") }

// Set implements pflag.Value.
func (c *choice) Set(s string) error {
	for _, v := range c.values {
		if strings.EqualFold(v, s) {
			c.value = v
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(c.values, ", "))
}

// level returns the log level that the choice names.
func (c *choice) level() slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.value)); err != nil {
		return slog.LevelInfo
	}
	return l
}
