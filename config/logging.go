// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"cmp"
	"log/slog"
	"slices"
	"strconv"
	"strings"
)

// A RoomLevel is the log level of one room.
type RoomLevel struct {
	Room  string // one of LogRooms()
	Level slog.Level
}

// String returns what LogLevel has of it: ROOM=LEVEL.
func (r RoomLevel) String() string { return r.Room + "=" + logLevelName(r.Level) }

// LogRooms returns the names of the rooms that may have a log level of their own, sorted.
func LogRooms() []string {
	return []string{"control", "device", "engine", "host", "hub", "netstack", "peers", "proxy", "relay", "tun", "web"}
}

// A LogFormat is the form of the log.
type LogFormat uint8

const (
	// LogFormatUnset leaves the choice to the default, text.
	LogFormatUnset LogFormat = iota
	// LogFormatText is one line of KEY=VALUE for each record.
	LogFormatText
	// LogFormatJSON is one JSON object on a line for each record.
	LogFormatJSON
)

// String returns unset, text or json.
func (f LogFormat) String() string {
	switch f {
	case LogFormatUnset:
		return "unset"
	case LogFormatText:
		return "text"
	case LogFormatJSON:
		return "json"
	}
	return "LogFormat(" + strconv.Itoa(int(f)) + ")"
}

// logKeys are the keys of [Router] about the log.
func logKeys() []key {
	return []key{
		{name: "LogLevel", set: setLogLevel, spaced: true},
		{name: "LogFormat", set: setLogFormat, spaced: true},
	}
}

func setLogFormat(e *entry) {
	if n, ok := e.choice(LogFormatText.String(), LogFormatJSON.String()); ok {
		e.cfg.Router.LogFormat = LogFormat(n + 1)
	}
}

// setLogLevel reads LEVEL and ROOM=LEVEL, separated by commas.
func setLogLevel(e *entry) {
	r := Router{}
	for part := range strings.SplitSeq(e.value, ",") {
		one := *e
		room, value, ofRoom := strings.Cut(part, "=")
		if !ofRoom {
			room, value = "", part
		}
		one.value = strings.Trim(value, space)
		level, ok := one.logLevel()
		switch {
		case !ok:
			return
		case !ofRoom && r.LogLevelSet:
			e.wrong("write one level for all rooms, and ROOM=LEVEL for others", "%s is a second level for all rooms", show(one.value))
			return
		case !ofRoom:
			r.LogLevel, r.LogLevelSet = level, true
			continue
		}
		one.value = strings.Trim(room, space)
		n, ok := one.choice(LogRooms()...)
		if !ok {
			return
		}
		name := LogRooms()[n]
		if slices.ContainsFunc(r.LogRooms, func(l RoomLevel) bool { return l.Room == name }) {
			e.wrong("write one level for each room", "%s has two levels", name)
			return
		}
		r.LogRooms = append(r.LogRooms, RoomLevel{name, level})
	}
	slices.SortFunc(r.LogRooms, func(a, b RoomLevel) int { return cmp.Compare(a.Room, b.Room) })
	to := &e.cfg.Router
	to.LogLevel, to.LogLevelSet, to.LogRooms = r.LogLevel, r.LogLevelSet, r.LogRooms
}

func (e *entry) logLevel() (slog.Level, bool) {
	n, ok := e.choice("debug", "info", "warn", "error")
	if !ok {
		return 0, false
	}
	return []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}[n], true
}

func logLevelName(l slog.Level) string { return strings.ToLower(l.String()) }

// writeLog writes the keys about the log that are not at their default.
func (d *document) writeLog(r *Router) {
	var levels []string
	if r.LogLevelSet {
		levels = append(levels, logLevelName(r.LogLevel))
	}
	for _, l := range r.LogRooms {
		levels = append(levels, l.String())
	}
	if len(levels) > 0 {
		d.line("LogLevel", strings.Join(levels, ", "))
	}
	if r.LogFormat != LogFormatUnset {
		d.line("LogFormat", r.LogFormat)
	}
}

// sameLog reports whether the log of two routers is the same.
func sameLog(a, b *Router) bool {
	return a.LogLevel == b.LogLevel && a.LogLevelSet == b.LogLevelSet && a.LogFormat == b.LogFormat && slices.Equal(a.LogRooms, b.LogRooms)
}
