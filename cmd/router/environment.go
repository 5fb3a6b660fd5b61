// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
)

// Names of the environment.
const (
	envTunFD      = "WG_TUN_FD"             // descriptors of an open TUN, one for each queue, separated by commas
	envUAPIFD     = "WG_UAPI_FD"            // descriptor of a listening control socket
	envForeground = "WG_PROCESS_FOREGROUND" // "1": do not go to the background
	envLogLevel   = "LOG_LEVEL"             // of "router NAME"
	envJournal    = "JOURNAL_STREAM"        // set by systemd when stderr goes to the journal
	envReady      = "ROUTER_READY_FD"       // from parent to child: where to say that it is ready
)

// An environment is what the program reads from its environment.
type environment struct {
	tunFD, uapiFD string
	foreground    bool
	logLevel      string
	journal       bool
	ready         *os.File // the parent that waits for the router to be ready; nil: none
}

func readEnvironment(lookup func(string) (string, bool)) environment {
	get := func(name string) string {
		value, _ := lookup(name)
		return value
	}
	e := environment{
		tunFD: get(envTunFD), uapiFD: get(envUAPIFD),
		foreground: get(envForeground) == "1",
		logLevel:   get(envLogLevel),
		journal:    get(envJournal) != "",
	}
	if fd, err := strconv.Atoi(get(envReady)); err == nil && fd > 2 && e.foreground {
		e.ready = openFD(fd, envReady)
	}
	return e
}

// contractLevel is the level of LOG_LEVEL as wireguard-go understands it, and
// whether to log at all. Its errors include what is a warning here.
func (e *environment) contractLevel() (level slog.Level, log bool) {
	switch e.logLevel {
	case "verbose", "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "silent":
		return slog.LevelError, false
	}
	return slog.LevelWarn, true
}

// files opens the descriptors in the list of the variable called name.
func files(name, list string) ([]*os.File, error) {
	var out []*os.File
	seen := make(map[int]bool)
	for field := range strings.SplitSeq(list, ",") {
		fd, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || fd < 0 || seen[fd] {
			closeAll(out)
			return nil, fmt.Errorf("%s=%q: want descriptor numbers separated by commas, each once", name, list)
		}
		seen[fd] = true
		out = append(out, openFD(fd, name))
	}
	return out, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// with returns environ with a variable set, or removed if value is "".
func with(environ []string, name, value string) []string {
	var out []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, name+"=") {
			out = append(out, entry)
		}
	}
	if value != "" {
		out = append(out, name+"="+value)
	}
	return out
}
