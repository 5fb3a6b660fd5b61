// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/netstack"
	"golang.org/x/time/rate"
)

// The device prints an error for each batch that fails; this many lines pass,
// the rest is counted and told with the next one.
const (
	deviceErrorsPerSecond = 1
	deviceErrorBurst      = 10
)

// deviceLogger hands the device's lines to log: its verbose ones as debug, its
// errors as warnings, both rate limited. Lines that stand for a packet are counted, shown
// or not.
func deviceLogger(log *slog.Logger, counters *deviceCounters) *device.Logger {
	l := &device.Logger{}
	lines := newLineLimits()
	l.Verbosef = func(format string, args ...any) {
		if c := counters.of(format); c != nil {
			c.Add(1)
		}
		if log.Enabled(context.Background(), slog.LevelDebug) { // it may change
			n, ok := lines.take(format)
			switch {
			case !ok:
			case n > 0:
				log.Debug("device", "text", fmt.Sprintf(format, args...), "suppressed", n)
			default:
				log.Debug("device", "text", fmt.Sprintf(format, args...))
			}
		}
	}
	limit := rate.NewLimiter(deviceErrorsPerSecond, deviceErrorBurst)
	var suppressed atomic.Uint64
	l.Errorf = func(format string, args ...any) {
		if !limit.Allow() {
			suppressed.Add(1)
			return
		}
		attrs := []any{"text", fmt.Sprintf(format, args...)}
		if n := suppressed.Swap(0); n > 0 {
			attrs = append(attrs, "suppressed", n)
		}
		log.Warn("device", attrs...)
	}
	return l
}

// roomLoggers returns a logger for each room, so that each may have a level of its own.
func roomLoggers(log *slog.Logger) map[string]*slog.Logger {
	rooms := make(map[string]*slog.Logger)
	for _, room := range roomlog.Rooms() {
		rooms[room] = roomlog.For(log, room)
	}
	return rooms
}

// logOf returns the logger of a room.
func (e *Engine) logOf(room string) *slog.Logger {
	if l := e.rooms[room]; l != nil {
		return l
	}
	return e.log
}

// RedirectStackLog sends what the TCP/IP stack of netstack mode logs by itself to
// log, as debug lines, in place of standard error. It is process-wide: for main
// functions, once, before [New].
func RedirectStackLog(log *slog.Logger) { netstack.RedirectLog(roomlog.For(log, roomlog.Netstack)) }
