// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Router is the [Router] section: what WireGuard's own tools do not know.
type Router struct {
	Mode Mode // where packets of the host come from
	// ModeSet says that the file states it. Otherwise it is netstack in a file with a
	// section of [Proxy] or SubnetRouter, and tun in others. It is no part of the
	// configuration.
	ModeSet bool

	// Queues is how many queues the TUN has, 1 to 256; 0 is the default, one per CPU
	// and at most 8.
	Queues int
	// TxQueueLength is how many packets the kernel holds for each of them, 1 to
	// 1,000,000; 0 is the default, 1000.
	TxQueueLength int
	// PeerForwarding says what becomes of packets from one peer to another.
	PeerForwarding Forwarding

	// SubnetRouter says what peers reach behind the host in netstack mode.
	SubnetRouter SubnetRouter
	// SubnetRouterPerPeer is how many connections and flows of that kind one peer may
	// have, 1 to 1,000,000; 0 is the default.
	SubnetRouterPerPeer int
	// TCPRecovery and TCPCongestion are about TCP in netstack mode.
	TCPRecovery   Recovery
	TCPCongestion Congestion

	// Discovery says whether this router looks for paths to peers that are routers of
	// this kind, and uses relays. Unset is on.
	Discovery Switch

	// Sockets is how many UDP sockets each address family has, 1 to 16; 0 is the
	// default, one per CPU and at most 4.
	Sockets int

	GSO Switch // segmentation offload on the UDP sockets
	GRO Switch // receive offload on the UDP sockets

	// GSOSegments and GSOBytes bound what is sent as one segmented message: 1 to
	// 64 packets, where 0 is 64 and 1 segments nothing; bytes up to 1 GiB, of
	// which one message carries 65,489 over IPv4 and 65,469 over IPv6, as does 0.
	GSOSegments int
	GSOBytes    int
	// GSOSentinel ends segmented messages with a packet of one byte, for kernels
	// that corrupt them otherwise; unset asks the kernel.
	GSOSentinel Switch
	// GROSlot is the size of the slots that messages are received into, 2 KiB to
	// 64 KiB; 0 follows the traffic.
	GROSlot int
	// FlushTimeout is how long a packet may be held back for others, 50 µs to 1 s;
	// 0 is not at all.
	FlushTimeout time.Duration

	// ReceiveBuffer and SendBuffer are the sizes of the UDP socket buffers in
	// bytes, 4 KiB to 1 GiB; 0 is the default of the sockets.
	ReceiveBuffer int
	SendBuffer    int

	// XDP says whether packets of peers go past the UDP sockets, and on which interface.
	XDP XDP

	// ControlSocket is the absolute path of the control socket; empty is
	// /var/run/wireguard/NAME.sock, [ControlSocketOff] is none.
	ControlSocket string

	// Metrics is where counters and the status page are served.
	Metrics Metrics

	// LogLevel counts only when LogLevelSet: the zero Level is info.
	LogLevel    slog.Level
	LogLevelSet bool
	// LogRooms are the rooms that have a level of their own, by name, each once.
	LogRooms []RoomLevel
	// LogFormat is the form of the log.
	LogFormat LogFormat
}

// ControlSocketOff is the value of [Router.ControlSocket] for no socket.
const ControlSocketOff = "off"

// A Mode says where the packets of the host come from.
type Mode uint8

const (
	// ModeTUN is a TUN device of the kernel.
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
	// maxSocketPath is what sun_path holds on Linux, less the final zero.
	maxSocketPath = 107
)

// routerKeys are the keys of [Router], in the order in which they are written.
func routerKeys() []key {
	return slices.Concat([]key{
		{name: "Mode", set: setMode, spaced: true},
		{name: "Queues", set: setQueues, spaced: true},
		{name: "TxQueueLength", set: setTxQueueLength, spaced: true},
		{name: "PeerForwarding", set: setPeerForwarding, spaced: true},
	}, netstackKeys(), []key{
		setSwitch("Discovery", func(r *Router) *Switch { return &r.Discovery }, "on", "off"),
	}, socketKeys(), []key{
		{name: "ControlSocket", set: setControlSocket, spaced: true},
	}, metricsKeys(), logKeys())
}

func setMode(e *entry) {
	if n, ok := e.choice(ModeTUN.String(), ModeNetstack.String()); ok {
		e.cfg.Router.Mode = Mode(n)
	}
}

func setQueues(e *entry) {
	hint := fmt.Sprintf("write a number from 1 to %d, or leave it out for one per CPU, at most eight", maxQueues)
	if n, ok := e.number(1, maxQueues, "a number of queues", hint); ok {
		e.cfg.Router.Queues = int(n)
	}
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
