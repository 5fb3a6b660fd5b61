// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"strings"
	"time"
)

const (
	// maxSockets is far beyond where more sockets help: each costs a goroutine
	// and its buffers, per family.
	maxSockets = 16
	// maxGSOSegments is UDP_MAX_SEGMENTS of the kernels before 6.9.
	maxGSOSegments = 64
	// maxUDP is the largest length that the header of a UDP datagram can state.
	maxUDP = 1<<16 - 1
	// minFlushTimeout is what a timer of the kernel can still keep (the default
	// timer slack, prctl(2) PR_SET_TIMERSLACK, is 50 µs).
	minFlushTimeout = 50 * time.Microsecond
	// maxFlushTimeout is longer than anybody wants to wait for a packet.
	maxFlushTimeout = time.Second
	// minGROSlot holds one packet of an Ethernet path.
	minGROSlot = 2 << 10
	// maxGROSlot holds the largest message.
	maxGROSlot = 64 << 10
	// minBuffer is one page: below it a socket cannot hold a full-size datagram
	// with the kernel's bookkeeping.
	minBuffer = 4 << 10
	// maxBuffer is the largest power of two that SO_RCVBUF, an int that the
	// kernel doubles, can state.
	maxBuffer = 1 << 30
)

// socketKeys are the keys of [Router] about the UDP sockets, in the order in which
// they are written.
func socketKeys() []key {
	buffer := size{low: minBuffer, high: maxBuffer, what: "a buffer size",
		hint: "write a number of bytes from 4K to 1024M, for example 7M"}
	return []key{
		{name: "Sockets", set: setSockets, spaced: true},
		setSwitch("GSO", func(r *Router) *Switch { return &r.GSO }, "on", "off"),
		setSwitch("GRO", func(r *Router) *Switch { return &r.GRO }, "on", "off"),
		{name: "GSOSegments", set: setGSOSegments, spaced: true},
		{name: "GSOBytes", set: setGSOBytes, spaced: true},
		setSwitch("GSOSentinel", func(r *Router) *Switch { return &r.GSOSentinel }, "on", "off", "auto"),
		{name: "GROSlot", set: setGROSlot, spaced: true},
		{name: "FlushTimeout", set: setFlushTimeout},
		setBuffer("ReceiveBuffer", func(r *Router) *int { return &r.ReceiveBuffer }, buffer),
		setBuffer("SendBuffer", func(r *Router) *int { return &r.SendBuffer }, buffer),
		{name: "XDP", set: setXDP, spaced: true},
	}
}

func setSockets(e *entry) {
	hint := fmt.Sprintf("write a number from 1 to %d, or leave it out for one per CPU, at most four", maxSockets)
	if n, ok := e.number(1, maxSockets, "a number of sockets", hint); ok {
		e.cfg.Router.Sockets = int(n)
	}
}

// setSwitch is a key whose value is one of words: on, off, and for some keys auto,
// which is the same as no value.
func setSwitch(name string, field func(*Router) *Switch, words ...string) key {
	values := []Switch{SwitchOn, SwitchOff, SwitchUnset}
	return key{name: name, spaced: true, set: func(e *entry) {
		if n, ok := e.choice(words...); ok {
			*field(&e.cfg.Router) = values[n]
		}
	}}
}

func setGSOSegments(e *entry) {
	hint := fmt.Sprintf("write a number from 1 to %d, or leave it out for %[1]d", maxGSOSegments)
	if n, ok := e.number(1, maxGSOSegments, "a number of segments", hint); ok {
		e.cfg.Router.GSOSegments = int(n)
	}
}

func setGSOBytes(e *entry) {
	n, ok := e.size(size{low: 1, high: maxBuffer, what: "a number of bytes",
		hint: fmt.Sprintf("write a number up to %d, for example 32K, or leave it out", maxUDP)})
	if !ok {
		return
	}
	if n > maxUDP {
		e.doubt(fmt.Sprintf("write at most %d, or leave it out", maxUDP), "%s is more than UDP carries; as much as it carries is taken", show(e.value))
	}
	e.cfg.Router.GSOBytes = n
}

func setGROSlot(e *entry) {
	if sameName(e.value, "auto") {
		e.cfg.Router.GROSlot = 0
		return
	}
	if n, ok := e.size(size{low: minGROSlot, high: maxGROSlot, what: "a size of slots",
		hint: "write auto or a number of bytes from 2K to 64K"}); ok {
		e.cfg.Router.GROSlot = n
	}
}

func setFlushTimeout(e *entry) {
	if sameName(e.value, "off") || e.value == "0" {
		e.cfg.Router.FlushTimeout = 0
		return
	}
	d, err := time.ParseDuration(strings.ToLower(e.value))
	if err != nil || d < minFlushTimeout || d > maxFlushTimeout {
		e.wrong("write off or a time from 50us to 1s, for example 200us", "%s is not a flush timeout", show(e.value))
		return
	}
	e.cfg.Router.FlushTimeout = d
}

// formatDuration writes d in ASCII: the time package writes µs.
func formatDuration(d time.Duration) string { return strings.Replace(d.String(), "µ", "u", 1) }

// setBuffer is a key whose value is the size of a socket buffer.
func setBuffer(name string, field func(*Router) *int, s size) key {
	return key{name: name, spaced: true, set: func(e *entry) {
		if n, ok := e.size(s); ok {
			*field(&e.cfg.Router) = n
		}
	}}
}

// A size says which numbers of bytes a key takes, and what to say of others.
type size struct {
	low, high  int
	what, hint string
}

// size reads a number of bytes.
func (e *entry) size(s size) (int, bool) {
	n, ok := parseSize(e.value)
	if !ok || n < uint64(s.low) || n > uint64(s.high) {
		e.wrong(s.hint, "%s is not %s", show(e.value), s.what)
		return 0, false
	}
	return int(n), true
}
