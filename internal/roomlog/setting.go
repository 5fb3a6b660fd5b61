// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package roomlog

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// Rooms that log.
const (
	Control  = "control"  // the control socket
	Device   = "device"   // WireGuard
	Engine   = "engine"   // what starts, stops and changes the others
	Host     = "host"     // addresses, routes and rules of the host
	Hub      = "hub"      // packets from peer to peer
	Netstack = "netstack" // the TCP/IP stack of netstack mode
	Peers    = "peers"    // UDP sockets, endpoints and paths
	Proxy    = "proxy"    // proxies, forwards and the subnet router
	Relay    = "relay"    // the relay that this router offers
	Tun      = "tun"      // the tunnel device
	Web      = "web"      // metrics and status page
)

// Rooms returns the names of the rooms, sorted.
func Rooms() []string {
	return []string{Control, Device, Engine, Host, Hub, Netstack, Peers, Proxy, Relay, Tun, Web}
}

// A Setting is a level for everything, and levels of rooms that have one of their own.
type Setting struct {
	Level slog.Level
	Rooms map[string]slog.Level // nil: none; not changed by this package
}

// String writes the setting as [Levels.Change] reads it: "info, peers=debug".
func (s Setting) String() string {
	parts := []string{levelName(s.Level)}
	for _, room := range slices.Sorted(maps.Keys(s.Rooms)) {
		parts = append(parts, room+"="+levelName(s.Rooms[room]))
	}
	return strings.Join(parts, ", ")
}

func levelName(l slog.Level) string { return strings.ToLower(l.String()) }

// inherit takes the level of a room away.
const inherit = "default"

// changed returns s after the changes in text: LEVEL, ROOM=LEVEL or ROOM=default, with
// commas between them.
func (s Setting) changed(text string) (Setting, error) {
	out := Setting{Level: s.Level, Rooms: maps.Clone(s.Rooms)}
	if out.Rooms == nil {
		out.Rooms = make(map[string]slog.Level)
	}
	for part := range strings.SplitSeq(text, ",") {
		room, name, ofRoom := strings.Cut(strings.ToLower(strings.TrimSpace(part)), "=")
		if !ofRoom {
			room, name = "", room
		}
		room, name = strings.TrimSpace(room), strings.TrimSpace(name)
		if ofRoom && !slices.Contains(Rooms(), room) {
			return s, fmt.Errorf("no room %q; there are %s", room, strings.Join(Rooms(), ", "))
		}
		if ofRoom && name == inherit {
			delete(out.Rooms, room)
			continue
		}
		level, err := parseLevel(name)
		switch {
		case err != nil:
			return s, err
		case ofRoom:
			out.Rooms[room] = level
		default:
			out.Level = level
		}
	}
	return out, nil
}

func parseLevel(name string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if levelName(l) == name {
			return l, nil
		}
	}
	return 0, fmt.Errorf("no level %q; there are debug, info, warn, error", name)
}
