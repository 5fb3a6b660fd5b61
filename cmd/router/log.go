// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// newLogger writes lines of the format, "text" or "json", to w. The journal
// knows the time by itself.
func newLogger(w io.Writer, format string, level slog.Leveler, journal bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	if journal {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, o))
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
