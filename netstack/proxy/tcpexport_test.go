// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"log/slog"
	"net"
	"time"
)

// Shorter times for tests, before Run.

func (s *SOCKS5) SetHandshakeTimeout(d time.Duration) { s.handshakeFor = d }
func (s *SOCKS5) SetDialTimeout(d time.Duration)      { s.dialer.timeout = d }
func (h *HTTP) SetDialTimeout(d time.Duration)        { h.dialer.timeout = d }
func (h *HTTP) SetHeaderTimeout(d time.Duration)      { h.headerFor = d }
func (h *HTTP) SetIdleTimeout(d time.Duration)        { h.idleFor = d }
func (h *HTTP) SetPenalty(d time.Duration)            { h.login.wait = d }
func (f *TCPForward) SetDialTimeout(d time.Duration)  { f.dialer.timeout = d }
func (f *TCPForward) SetDial(d dialFunc)              { f.dialer.dial = d }
func (s *service) SetSilence(d time.Duration)         { s.silence = d }

// NewForwardFrom is ListenTCPClient with a listener and a dialer of the test.
func NewForwardFrom(l net.Listener, dial dialFunc, log *slog.Logger) *TCPForward {
	f := &TCPForward{target: "192.0.2.1:1"}
	f.init("tcp client", l, Limits{}, log)
	f.dialer = dialer{dial, connectTimeout, &f.count}
	return f
}
