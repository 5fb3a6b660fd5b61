// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/metrics"
)

// noTime leaves the time out of lines.
func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// TestDropReport: one line a minute at most, with what was dropped since the last one, and
// fewer while it goes on.
func TestDropReport(t *testing.T) {
	var out bytes.Buffer
	var now []metrics.Drop
	start := time.Unix(1_700_000_000, 0)
	r := newDropReport(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: noTime})), start, func() []metrics.Drop { return now })
	// look looks n minutes after the start.
	look := func(n int, want string) {
		t.Helper()
		out.Reset()
		r.look(start.Add(time.Duration(n) * time.Minute))
		if want != "" {
			want = `level=INFO msg="packets dropped" ` + want
		}
		if got := strings.TrimSpace(out.String()); got != want {
			t.Errorf("after %d minutes %q, want %q", n, got, want)
		}
	}
	drop := func(stage, reason string, n uint64) {
		now = append(now, metrics.Drop{Stage: stage, Reason: reason, Packets: n})
	}
	drop("receive", "too_short", 0)
	look(1, "")
	drop("receive", "too_short", 5)
	drop("decrypt", "replay", 7)
	look(2, `packets=12 since=2m0s decrypt.replay=7 receive.too_short=5`)
	look(3, "")
	drop("receive", "too_short", 1)
	look(4, `packets=1 since=2m0s receive.too_short=1`)
	// It does not end.
	told := ""
	for n := 5; n <= 300; n++ {
		drop("filter", "policy", 1)
		out.Reset()
		r.look(start.Add(time.Duration(n) * time.Minute))
		if out.Len() > 0 {
			told += fmt.Sprint(n, " ")
		}
	}
	if want := "6 10 18 34 66 126 186 246 "; told != want {
		t.Errorf("told after %q minutes, want %q", told, want)
	}
	look(301, `packets=54 since=55m0s filter.policy=54`)
	for i := range 12 {
		drop("hub", fmt.Sprint("r", i), uint64(100*(12-i)))
	}
	look(302, "")
	look(303, `packets=7800 since=2m0s hub.r0=1200 hub.r1=1100 hub.r2=1000 hub.r3=900 hub.r4=800 hub.r5=700 hub.r6=600 hub.r7=500 others=1000`)
}

// TestLineLimits: a kind of line has its own bound, and the next line says how many there
// were.
func TestLineLimits(t *testing.T) {
	l := newLineLimits()
	passed := 0
	for range 10_000 {
		if _, ok := l.take("flood"); ok {
			passed++
		}
	}
	if passed < lineBurst || passed > 10*lineBurst {
		t.Errorf("%d of 10,000 lines passed", passed)
	}
	if n, ok := l.take("other"); !ok || n != 0 {
		t.Errorf("another kind: %d, %v", n, ok)
	}
	k := l.kinds["flood"]
	k.limit.SetBurst(1 << 30)
	k.limit.SetLimit(1e9)
	time.Sleep(time.Millisecond)
	if n, ok := l.take("flood"); !ok || n != uint64(10_000-passed) {
		t.Errorf("then %d suppressed, %v; want %d", n, ok, 10_000-passed)
	}
}
