// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package roomlog_test

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"

	"encoding/json"

	"github.com/tunrouter/tunrouter/internal/roomlog"
)

// everything lets all records through.
func everything() *slog.HandlerOptions {
	return &slog.HandlerOptions{Level: slog.Level(math.MinInt), ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
}

func TestLevels(t *testing.T) {
	levels := new(roomlog.Levels)
	var out bytes.Buffer
	log := slog.New(roomlog.Handler(slog.NewTextHandler(&out, everything()), levels))
	peers, tun := roomlog.For(log, roomlog.Peers).With("k", 1), roomlog.For(log, roomlog.Tun).WithGroup("g").With(roomlog.Key, roomlog.Peers)
	for _, tt := range []struct {
		change, setting, want string
	}{
		{"", "info", "log=info peers=info tun=info"},
		{"warn", "warn", "log=warn peers=warn tun=warn"},
		{"peers=debug", "warn, peers=debug", "log=warn peers=debug tun=warn"},
		{" Debug , TUN = Error ", "debug, peers=debug, tun=error", "log=debug peers=debug tun=error"},
		{"info", "info, peers=debug, tun=error", "log=info peers=debug tun=error"},
		{"tun=default, peers=default, error", "error", "log=error peers=error tun=error"},
	} {
		if tt.change != "" {
			if err := levels.Change(tt.change); err != nil {
				t.Fatalf("%q: %v", tt.change, err)
			}
		}
		if got := levels.Setting().String(); got != tt.setting {
			t.Errorf("after %q: %q, want %q", tt.change, got, tt.setting)
		}
		var got []string
		for _, l := range []struct {
			name string
			log  *slog.Logger
		}{{"log", log}, {"peers", peers}, {"tun", tun}} {
			out.Reset()
			l.log.Debug("debug")
			l.log.Info("info")
			l.log.Warn("warn")
			l.log.Error("error")
			_, least, _ := strings.Cut(out.String(), "msg=")
			got = append(got, l.name+"="+strings.Fields(least)[0])
			if room := "room=" + l.name; l.name != "log" && !strings.Contains(out.String(), " "+room) {
				t.Errorf("no %s in %q", room, out.String())
			}
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("after %q: %s, want %s", tt.change, got, tt.want)
		}
	}
}

func TestChangeRefused(t *testing.T) {
	levels := roomlog.New(roomlog.Setting{Level: slog.LevelWarn, Rooms: map[string]slog.Level{roomlog.Hub: slog.LevelDebug}})
	for text, want := range map[string]string{
		"":                 `no level ""`,
		"loud":             `no level "loud"; there are debug, info, warn, error`,
		"info+1":           `no level "info+1"`,
		"kitchen=info":     `no room "kitchen"; there are control, device`,
		"=info":            `no room ""`,
		"default":          `no level "default"`,
		"debug, peers=":    `no level ""`,
		"debug, peers=low": `no level "low"`,
		"info, ":           `no level ""`,
	} {
		if err := levels.Change(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if got := levels.Setting().String(); got != "warn, hub=debug" {
			t.Errorf("%q changed the levels to %q", text, got)
		}
	}
}

// TestSettingIsACopy: nobody changes levels but through Set and Change.
func TestSettingIsACopy(t *testing.T) {
	rooms := map[string]slog.Level{roomlog.Hub: slog.LevelDebug}
	levels := roomlog.New(roomlog.Setting{Rooms: rooms})
	rooms[roomlog.Tun] = slog.LevelDebug
	levels.Setting().Rooms[roomlog.Peers] = slog.LevelDebug
	if got := levels.Setting().String(); got != "info, hub=debug" {
		t.Errorf("levels are %q", got)
	}
}

func TestConcurrent(t *testing.T) {
	levels := new(roomlog.Levels)
	log := roomlog.For(slog.New(roomlog.Handler(slog.NewTextHandler(new(bytes.Buffer), everything()), levels)), roomlog.Peers)
	var wg sync.WaitGroup
	for _, change := range []string{"peers=debug", "info", "tun=error", "peers=default"} {
		wg.Go(func() {
			for range 200 {
				if err := levels.Change(change); err != nil {
					t.Error(err)
				}
				if !log.Enabled(context.Background(), slog.LevelError) {
					t.Error("errors are off")
				}
			}
		})
	}
	wg.Wait()
	if got := levels.Setting().Rooms[roomlog.Tun]; got != slog.LevelError {
		t.Errorf("a change was lost: tun logs %v", got)
	}
}

// TestHandler: the handler does what handlers have to do.
func TestHandler(t *testing.T) {
	var out bytes.Buffer
	h := roomlog.Handler(slog.NewJSONHandler(&out, nil), new(roomlog.Levels))
	results := func() (all []map[string]any) {
		for line := range bytes.Lines(out.Bytes()) {
			m := make(map[string]any)
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		return all
	}
	if err := slogtest.TestHandler(h, results); err != nil {
		t.Error(err)
	}
}

func TestEnabledNoAllocs(t *testing.T) {
	levels := roomlog.New(roomlog.Setting{Rooms: map[string]slog.Level{roomlog.Hub: slog.LevelDebug}})
	log := roomlog.For(slog.New(roomlog.Handler(slog.NewTextHandler(new(bytes.Buffer), everything()), levels)), roomlog.Peers)
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		if log.Enabled(ctx, slog.LevelDebug) {
			t.Error("debug is on")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOf(t *testing.T) {
	levels := new(roomlog.Levels)
	log := slog.New(roomlog.Handler(slog.NewTextHandler(new(bytes.Buffer), nil), levels))
	if got := roomlog.Of(roomlog.For(log, roomlog.Hub).WithGroup("g")); got != levels {
		t.Errorf("levels are %p, want %p", got, levels)
	}
	if got := roomlog.Of(slog.New(slog.DiscardHandler)); got != nil {
		t.Errorf("a handler of others has levels: %v", got.Setting())
	}
}

func TestRooms(t *testing.T) {
	if rooms := roomlog.Rooms(); !slices.IsSorted(rooms) || len(slices.Compact(rooms)) != len(roomlog.Rooms()) {
		t.Errorf("rooms are not sorted, each once: %v", rooms)
	}
}

func BenchmarkEnabled(b *testing.B) {
	levels := roomlog.New(roomlog.Setting{Rooms: map[string]slog.Level{roomlog.Hub: slog.LevelDebug}})
	log := roomlog.For(slog.New(roomlog.Handler(slog.NewTextHandler(new(bytes.Buffer), everything()), levels)), roomlog.Peers)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		log.Enabled(ctx, slog.LevelDebug)
	}
}
