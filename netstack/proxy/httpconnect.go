// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"time"
)

// connect serves CONNECT (RFC 9110, 9.3.6).
func (h *HTTP) connect(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.RequestURI)
	if err != nil || host == "" || port == "" {
		h.bad(w, "CONNECT takes host:port.")
		return
	}
	if r.ContentLength != 0 {
		h.bad(w, "CONNECT has no content.")
		return
	}
	tun, err := h.dialer.connect(r.Context(), r.RequestURI)
	if err != nil {
		unreachable(w, err)
		return
	}
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		reset(tun)
		return
	}
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	early = bytes.Clone(early)
	c.SetDeadline(time.Now().Add(replyTimeout))
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		reset(tun)
		c.Close()
		return
	}
	c.SetDeadline(time.Time{})
	// In a goroutine of its own, so that what the server has for the
	// connection, its buffers among it, does not live as long.
	h.wg.Go(func() { h.relay(c, tun, early) })
}
