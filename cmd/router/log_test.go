// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/uapi"
)

// TestLogging: the log follows the file, and flags in its place.
func TestLogging(t *testing.T) {
	peers := []config.RoomLevel{{Room: "peers", Level: slog.LevelDebug}}
	for _, tt := range []struct {
		name          string
		router        config.Router
		level, format string // flags
		want          string // setting
		json          bool
	}{
		{"nothing", config.Router{}, "", "", "info", false},
		{"file", config.Router{LogLevel: slog.LevelWarn, LogLevelSet: true, LogRooms: peers, LogFormat: config.LogFormatJSON}, "", "", "warn, peers=debug", true},
		{"flags", config.Router{LogLevel: slog.LevelWarn, LogLevelSet: true, LogRooms: peers, LogFormat: config.LogFormatJSON}, "error", "text", "error", false},
		{"flags alone", config.Router{}, "debug", "json", "debug", true},
		{"as text", config.Router{LogFormat: config.LogFormatText}, "", "", "info", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			logs, log := newLogging(&out, true)
			log = roomlog.For(log, roomlog.Peers)
			logs.set(&tt.router, &choice{value: tt.level}, &choice{value: tt.format})
			if got := roomlog.Of(log).Setting().String(); got != tt.want {
				t.Errorf("levels %q, want %q", got, tt.want)
			}
			log.WithGroup("g").Error("problem", "k", 1)
			want := "level=ERROR msg=problem room=peers g.k=1\n"
			if tt.json {
				want = `,"level":"ERROR","msg":"problem","room":"peers","g":{"k":1}}` + "\n"
			}
			if !strings.HasSuffix(out.String(), want) || strings.HasPrefix(out.String(), "{") != tt.json {
				t.Errorf("logged %q, want %q", out.String(), want)
			}
		})
	}
}

// TestLogRooms: files and the handler know the same rooms.
func TestLogRooms(t *testing.T) {
	if !slices.Equal(config.LogRooms(), roomlog.Rooms()) {
		t.Errorf("config has %v, roomlog %v", config.LogRooms(), roomlog.Rooms())
	}
}

func TestLogCommand(t *testing.T) {
	levels := new(roomlog.Levels)
	dir := serveAsked(t, asked{fixed{&uapi.Device{}}, func(name string, args []uapi.KeyValue) (any, error) {
		for _, kv := range args {
			if name != "log" || kv.Key != "level" {
				t.Errorf("asked %s %v", name, args)
			}
			if err := levels.Change(kv.Value); err != nil {
				return nil, err
			}
		}
		return map[string]string{"level": levels.Setting().String()}, nil
	}})
	for _, tt := range []struct {
		args, want, fail string
		code             int
	}{
		{"wg0", "info\n", "", 0},
		{"wg0 peers=Debug,warn", "warn, peers=debug\n", "", 0},
		{"wg0 peers=default", "warn\n", "", 0},
		{"wg0 kitchen=debug", "", `no room "kitchen"; there are control, device`, 2},
		{"wg0 loud", "", `no level "loud"; there are debug, info, warn, error`, 2},
		{"wg0", "warn\n", "", 0},
		{"wg1 info", "", "no router answers at", 1},
		{"", "", "a NAME, and a level behind it", 2},
	} {
		stdout, stderr, code := call(t, append([]string{"log", "--socket-dir", dir}, strings.Fields(tt.args)...)...)
		if stdout != tt.want || code != tt.code || !strings.Contains(stderr, tt.fail) || (tt.fail == "") != (stderr == "") {
			t.Errorf("log %s: exit code %d, stdout %q, stderr %q", tt.args, code, stdout, stderr)
		}
	}
	other := serve(t, map[string]*uapi.Device{"wg0": {}})
	if _, stderr, code := call(t, "log", "--socket-dir", other, "wg0", "info"); code != exitRuntime || !strings.Contains(stderr, "another program, or an older version") {
		t.Errorf("a program without this question: exit code %d, stderr %q", code, stderr)
	}
}
