// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An address is ready while it answers, one lost ping does not matter, and the log is
// told of changes only.
func TestCheckAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		var log bytes.Buffer
		a := &aliveChecks{log: slog.New(slog.NewTextHandler(&log, nil))}
		dead := netip.MustParseAddr("10.0.0.2")
		a.ping = func(ctx context.Context, addr netip.Addr) (time.Duration, error) {
			switch {
			case addr == dead:
				return 0, errors.New("no route")
			case lost.Load():
				<-ctx.Done()
				return 0, ctx.Err()
			}
			time.Sleep(20 * time.Millisecond)
			return 20 * time.Millisecond, nil
		}
		alive := netip.MustParseAddr("fd00::1")
		a.update([]netip.Addr{alive, dead, alive}, 5*time.Second)
		missing := func() string {
			var names []string
			for _, n := range a.notReady() {
				names = append(names, n.Name+" "+n.Reason)
			}
			return strings.Join(names, ", ")
		}
		for _, step := range []struct {
			lost   bool
			passes time.Duration
			want   string
		}{
			{false, time.Millisecond, "10.0.0.2 no answer to a ping yet, fd00::1 no answer to a ping yet"},
			{false, time.Second, "10.0.0.2 no answer to a ping yet"},
			{true, 5 * time.Second, "10.0.0.2 no answer to a ping yet"},
			{false, 10 * time.Second, "10.0.0.2 no answer to a ping yet"},
			{true, 30 * time.Second, "10.0.0.2 no answer to a ping yet, fd00::1 last answer to a ping 31s ago"},
			{false, 10 * time.Second, "10.0.0.2 no answer to a ping yet"},
		} {
			lost.Store(step.lost)
			time.Sleep(step.passes)
			synctest.Wait()
			if got := missing(); got != step.want {
				t.Errorf("lost %v, %v later: %q, want %q", step.lost, step.passes, got, step.want)
			}
		}
		a.update([]netip.Addr{dead, alive}, 5*time.Second) // the same
		if got, want := missing(), "10.0.0.2 no answer to a ping yet"; got != want {
			t.Errorf("after an update that changes nothing: %q, want %q", got, want)
		}
		a.update(nil, 5*time.Second)
		if got := missing(); got != "" {
			t.Errorf("with none to ask: %q", got)
		}
		text := log.String()
		if strings.Count(text, "does not answer") != 2 || strings.Count(text, "answers again") != 1 || strings.Count(text, "\n") != 3 {
			t.Errorf("the log has\n%s", text)
		}
	})
}
