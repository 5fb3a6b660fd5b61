// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// A Router is the [Router] section: what WireGuard's own tools do not know.
type Router struct {
	Mode   Mode   // where packets of the host come from
	Queues int    // TUN queues, 1 to 256; 0 is the default, one
	GSO    Switch // segmentation offload on the UDP sockets
	GRO    Switch // receive offload on the UDP sockets

	// ReceiveBuffer and SendBuffer are the sizes of the UDP socket buffers in
	// bytes, 4 KiB to 1 GiB; 0 is the default of the sockets.
	ReceiveBuffer int
	SendBuffer    int

	// ControlSocket is the absolute path of the control socket; empty is
	// /var/run/wireguard/NAME.sock, [ControlSocketOff] is none.
	ControlSocket string

	// LogLevel counts only when LogLevelSet: the zero Level is info.
	LogLevel    slog.Level
	LogLevelSet bool
}

// ControlSocketOff is the value of [Router.ControlSocket] for no socket.
const ControlSocketOff = "off"

// A Mode says where the packets of the host come from.
type Mode uint8

const (
	// ModeTUN is a TUN device of the kernel. It is what a file without Mode means.
	ModeTUN Mode = iota
	// ModeNetstack is a TCP/IP stack inside the process; it needs no privilege.
	ModeNetstack
)

// String returns tun or netstack.
func (m Mode) String() string {
	switch m {
	case ModeTUN:
		return "tun"
	case ModeNetstack:
		return "netstack"
	}
	return "Mode(" + strconv.Itoa(int(m)) + ")"
}

// A Switch is on, off, or left to the default.
type Switch uint8

const (
	// SwitchUnset leaves the choice to the default.
	SwitchUnset Switch = iota
	// SwitchOn asks for the feature where the system has it.
	SwitchOn
	// SwitchOff forbids the feature.
	SwitchOff
)

// String returns unset, on or off.
func (s Switch) String() string {
	switch s {
	case SwitchUnset:
		return "unset"
	case SwitchOn:
		return "on"
	case SwitchOff:
		return "off"
	}
	return "Switch(" + strconv.Itoa(int(s)) + ")"
}

const (
	// maxQueues is what a Linux TUN takes (MAX_TAP_QUEUES, drivers/net/tun.c, 6.12).
	maxQueues = 256
	// minBuffer is one page: below it a socket cannot hold a full-size datagram
	// with the kernel's bookkeeping.
	minBuffer = 4 << 10
	// maxBuffer is the largest power of two that SO_RCVBUF, an int that the
	// kernel doubles, can state.
	maxBuffer = 1 << 30
	// maxSocketPath is what sun_path holds on Linux, less the final zero.
	maxSocketPath = 107
)

// routerKeys are the keys of [Router], in the order in which they are written.
func routerKeys() []key {
	return []key{
		{name: "Mode", set: setMode, spaced: true},
		{name: "Queues", set: setQueues, spaced: true},
		setSwitch("GSO", func(r *Router) *Switch { return &r.GSO }),
		setSwitch("GRO", func(r *Router) *Switch { return &r.GRO }),
		setBuffer("ReceiveBuffer", func(r *Router) *int { return &r.ReceiveBuffer }),
		setBuffer("SendBuffer", func(r *Router) *int { return &r.SendBuffer }),
		{name: "ControlSocket", set: setControlSocket, spaced: true},
		{name: "LogLevel", set: setLogLevel, spaced: true},
	}
}

func setMode(e *entry) {
	if n, ok := e.choice(ModeTUN.String(), ModeNetstack.String()); ok {
		e.cfg.Router.Mode = Mode(n)
	}
}

func setQueues(e *entry) {
	hint := fmt.Sprintf("write a number from 1 to %d, or leave it out for one", maxQueues)
	if n, ok := e.number(1, maxQueues, "a number of queues", hint); ok {
		e.cfg.Router.Queues = int(n)
	}
}

// setSwitch is a key whose value is on or off.
func setSwitch(name string, field func(*Router) *Switch) key {
	return key{name: name, spaced: true, set: func(e *entry) {
		if n, ok := e.choice("on", "off"); ok {
			*field(&e.cfg.Router) = SwitchOn + Switch(n)
		}
	}}
}

// setBuffer is a key whose value is the size of a socket buffer.
func setBuffer(name string, field func(*Router) *int) key {
	return key{name: name, spaced: true, set: func(e *entry) {
		n, ok := parseSize(e.value)
		if !ok || n < minBuffer || n > maxBuffer {
			e.wrong("write a number of bytes from 4K to 1024M, for example 7M", "%s is not a buffer size", show(e.value))
			return
		}
		*field(&e.cfg.Router) = int(n)
	}}
}

func setControlSocket(e *entry) {
	path := &e.cfg.Router.ControlSocket
	switch {
	case sameName(e.value, ControlSocketOff):
		*path = ControlSocketOff
	case !strings.HasPrefix(e.value, "/"):
		e.wrong("write off or a path that begins with /", "%s is not an absolute path", show(e.value))
	case len(e.value) > maxSocketPath:
		e.wrong("write a shorter one", "path is %d bytes long, a socket takes %d", len(e.value), maxSocketPath)
	default:
		*path = e.value
	}
}

func setLogLevel(e *entry) {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	if n, ok := e.choice("debug", "info", "warn", "error"); ok {
		e.cfg.Router.LogLevel, e.cfg.Router.LogLevelSet = levels[n], true
	}
}
