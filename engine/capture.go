// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/capture"
	"github.com/tunrouter/tunrouter/peers"
)

// MaxCaptures is how many captures may run at once.
const MaxCaptures = 4

// ErrTooManyCaptures means that [MaxCaptures] are running: end one of them first.
var ErrTooManyCaptures = errors.New("engine: 4 captures are running, which is the most")

// CaptureOptions say what [Engine.Capture] captures. A nil *CaptureOptions and the zero
// value mean all packets inside the tunnel.
type CaptureOptions struct {
	// Inner captures the packets inside the tunnel, Outer the datagrams outside, on
	// interfaces of their own. Default: Inner.
	Inner, Outer bool
	// Filter says which packets, in the words of tcpdump and peer NAME; see
	// docs/CAPTURE.md. Default: all.
	Filter string
	// SnapLen is how many bytes of each packet are kept; 0 means all.
	SnapLen int
	// Count ends the capture after so many packets; 0 means never.
	Count uint64
	// BufferBytes bounds the memory for packets that w has not taken yet, 128 KiB at
	// least. Default: 8 MiB.
	BufferBytes int
}

// CaptureStats are the counts of one capture.
type CaptureStats struct {
	Captured uint64 `json:"captured"` // packets written
	Dropped  uint64 `json:"dropped"`  // packets that w was too slow for
}

// Capture writes packets to w as pcapng, for Wireshark, until ctx or the router ends or
// o.Count is reached, all of which are normal ends. Each packet names its peer in a
// comment. What w does not take in time costs the capture packets, and the router
// nothing; Capture waits for w, also at the end.
//
// The error is that of w, one of o, or [ErrTooManyCaptures].
func (e *Engine) Capture(ctx context.Context, w io.Writer, o *CaptureOptions) (CaptureStats, error) {
	if o == nil {
		o = &CaptureOptions{}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t, err := e.openCapture(o, cancel)
	if err != nil {
		return CaptureStats{}, err
	}
	defer e.closeCapture(t)
	err = t.Run(ctx, w)
	n := t.Counts()
	return CaptureStats{Captured: n.Captured, Dropped: n.Dropped}, err
}

// openCapture begins a capture. end is called when the router ends.
func (e *Engine) openCapture(o *CaptureOptions, end context.CancelFunc) (*capture.Tap, error) {
	if o.SnapLen < 0 || o.BufferBytes < 0 {
		return nil, errors.New("capture: a length below zero")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	filter, err := capture.ParseFilter(o.Filter, e.peerCalledLocked)
	if err != nil {
		return nil, err
	}
	c := &capture.Options{
		Filter: filter, SnapLen: o.SnapLen, Count: o.Count, BufferBytes: o.BufferBytes,
		Interface: e.name, Application: strings.TrimSpace("tunrouter " + e.opts.Version),
		Name:   e.captures.nameOf,
		Source: newSources(e.mark).of,
	}
	if o.Inner || !o.Outer {
		c.Sides = append(c.Sides, capture.Inner)
	}
	if o.Outer {
		c.Sides = append(c.Sides, capture.Outer)
	}
	t := capture.New(c)
	e.captures.mu.Lock()
	defer e.captures.mu.Unlock()
	switch {
	case e.captures.closed:
		return nil, fmt.Errorf("capture: the router has ended: %w", net.ErrClosed)
	case len(e.captures.running) >= MaxCaptures:
		return nil, ErrTooManyCaptures
	}
	e.captures.running = append(e.captures.running, runningCapture{t, end})
	e.captures.learn(e)
	e.showPacketsLocked()
	e.log.Info("capture started", "filter", filter.String(), "inner", t.Wants(capture.Inner), "outer", t.Wants(capture.Outer))
	return t, nil
}

func (e *Engine) closeCapture(t *capture.Tap) {
	e.captures.mu.Lock()
	defer e.captures.mu.Unlock()
	e.captures.running = slices.DeleteFunc(e.captures.running, func(r runningCapture) bool { return r.tap == t })
	e.showPacketsLocked()
	n := t.Counts()
	e.log.Info("capture ended", "packets", n.Captured, "dropped", n.Dropped)
}

// showPacketsLocked shows packets to the captures that there are. The mutex of captures
// is held.
func (e *Engine) showPacketsLocked() {
	s := &showing{c: &e.captures}
	for _, r := range e.captures.running {
		if r.tap.Wants(capture.Inner) {
			s.inner = append(s.inner, r.tap)
		}
		if r.tap.Wants(capture.Outer) {
			s.outer = append(s.outer, r.tap)
		}
	}
	// A nil interface, not a nil pointer in one.
	if len(s.inner) > 0 {
		e.hub.SetTap(s)
	} else {
		e.hub.SetTap(nil)
	}
	if len(s.outer) > 0 {
		e.bind.SetTap(s)
	} else {
		e.bind.SetTap(nil)
	}
}

// peerCalledLocked returns the peer that is called so, or whose public key begins so.
func (e *Engine) peerCalledLocked(name string) (peers.Key, error) {
	var found []peers.Key
	for key := range e.known {
		if strings.EqualFold(e.names[key], name) && name != "" {
			found = append(found, key)
		}
	}
	if len(found) == 0 {
		for key := range e.known {
			if strings.HasPrefix(config.Key(key).String(), name) {
				found = append(found, key)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return peers.Key{}, errors.New("no peer is called this, or has a public key that begins with it")
	}
	return peers.Key{}, fmt.Errorf("%d peers are called this, or have public keys that begin with it; write more of the key", len(found))
}
