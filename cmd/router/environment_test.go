// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	set := map[string]string{envTunFD: "3,4", envUAPIFD: "5", envForeground: "1", envLogLevel: "verbose", envJournal: "8:1"}
	got := readEnvironment(func(name string) (string, bool) { v, ok := set[name]; return v, ok })
	want := environment{tunFD: "3,4", uapiFD: "5", foreground: true, logLevel: "verbose", journal: true}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := readEnvironment(func(string) (string, bool) { return "", false }); got != (environment{}) {
		t.Errorf("nothing set: %+v", got)
	}
}

func TestContractLevel(t *testing.T) {
	tests := []struct {
		value string
		level slog.Level
		log   bool
	}{
		{"", slog.LevelWarn, true}, {"error", slog.LevelWarn, true}, {"nonsense", slog.LevelWarn, true},
		{"verbose", slog.LevelDebug, true}, {"debug", slog.LevelDebug, true}, {"info", slog.LevelInfo, true},
		{"silent", slog.LevelError, false},
	}
	for _, tt := range tests {
		e := environment{logLevel: tt.value}
		if level, log := e.contractLevel(); level != tt.level || log != tt.log {
			t.Errorf("LOG_LEVEL=%q: %v, %v, want %v, %v", tt.value, level, log, tt.level, tt.log)
		}
	}
}

func TestWith(t *testing.T) {
	env := []string{"A=1", "AB=2", "A=3"}
	if got, want := with(env, "A", "4"), []string{"AB=2", "A=4"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := with(env, "A", ""), []string{"AB=2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBadDescriptors(t *testing.T) {
	for _, list := range []string{"x", "", "3,", "-1", "900,900", "900,x"} {
		if got, err := files(envTunFD, list); err == nil || !strings.Contains(err.Error(), envTunFD) {
			t.Errorf("%q: %v, %v, want an error that names the variable", list, got, err)
		}
	}
}

func TestLoggerTime(t *testing.T) {
	for _, journal := range []bool{false, true} {
		var b bytes.Buffer
		_, log := newLogging(&b, journal)
		log.Info("hello", "time", "kept")
		if got := strings.HasPrefix(b.String(), "time="); got == journal {
			t.Errorf("journal %v: %q", journal, b.String())
		}
		if !strings.Contains(b.String(), "msg=hello") {
			t.Errorf("no message in %q", b.String())
		}
	}
}

func TestVersionOf(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"}, Deps: []*debug.Module{
		{Path: "example.org/x", Version: "v1"}, {Path: engineModule, Version: "v0.9"},
	}}
	if got := versionOf(info); !strings.HasPrefix(got, "router v1.2.3 (go1.26 ") || !strings.HasSuffix(got, "\nengine "+engineModule+" v0.9") {
		t.Errorf("release: %q", got)
	}
	info.Main.Version = "(devel)"
	info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}
	if got := versionOf(info); !strings.HasPrefix(got, "router (devel) 0123456789ab with changes (") {
		t.Errorf("workspace: %q", got)
	}
}
