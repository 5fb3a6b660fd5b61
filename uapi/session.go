// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bufio"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"
)

// writeChunk is how much of a reply must be taken within the stall timeout. A
// unix socket buffers about 200 KiB, so a chunk of 64 KiB is progress that every
// client makes that reads at all.
const writeChunk = 64 << 10

// maxMessageLines bounds what a failed reload explains.
const maxMessageLines = 64

// A session is one connection. Its goroutine owns everything but what is marked.
type session struct {
	s       *Server
	conn    net.Conn // closed by Server too
	handler Handler
	waiting bool // between requests: reading has no deadline

	// Guarded by s.mu.
	idle      uint64 // when it became idle, in turns; 0: busy
	streaming bool
}

// run serves requests until the connection ends.
func (c *session) run() {
	defer c.end()
	r := bufio.NewReader(c)
	for {
		c.setIdle(true)
		if _, err := r.Peek(1); err != nil {
			return
		}
		c.setIdle(false)
		reply, more := c.serve(r)
		if !c.write(reply) || !more {
			return
		}
	}
}

func (c *session) end() {
	c.conn.Close()
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	delete(c.s.sessions, c)
}

// setIdle says whether the session waits for a request.
func (c *session) setIdle(idle bool) {
	c.waiting = idle
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.idle = 0
	if idle {
		c.s.idleTurn++
		c.idle = c.s.idleTurn
	}
}

// serve reads one request and returns the reply to it, and whether the next
// request can follow.
func (c *session) serve(r *bufio.Reader) (reply []byte, more bool) {
	l := &lineReader{r: r, maxLine: maxLine, left: c.s.o.MaxRequest}
	op, err := l.next()
	if err != nil {
		return c.status("", cutOff(err)), false
	}
	switch string(op) {
	case "get=1":
		if bad, fatal := readEmpty(l); bad != nil || fatal != nil {
			return c.status("get", firstError(bad, fatal)), fatal == nil
		}
		d, err := c.handler.Get()
		if err == nil {
			reply = d.AppendTo(nil)
		}
		return append(reply, c.status("get", err)...), true
	case "set=1":
		req, bad, fatal := readSet(l)
		if bad != nil || fatal != nil {
			return c.status("set", firstError(bad, fatal)), fatal == nil
		}
		return c.status("set", c.handler.Set(req)), true
	case "reload=1":
		if bad, fatal := readEmpty(l); bad != nil || fatal != nil {
			return c.status("reload", firstError(bad, fatal)), fatal == nil
		}
		err := c.handler.Reload()
		return append(messages(err), c.status("reload", err)...), true
	}
	if name, ok := strings.CutPrefix(string(op), streamPrefix); ok {
		args, bad, fatal := readAsk(l)
		if bad != nil || fatal != nil {
			return c.status("stream", firstError(bad, fatal)), fatal == nil
		}
		return c.stream(r, name, args), false
	}
	if name, ok := strings.CutPrefix(string(op), askPrefix); ok {
		args, bad, fatal := readAsk(l)
		if bad != nil || fatal != nil {
			return c.status("ask", firstError(bad, fatal)), fatal == nil
		}
		answer, err := c.ask(name, args)
		return append(append(answer, messages(err)...), c.status("ask", err)...), true
	}
	return c.status("", errorf(ErrnoProtocol, "unknown operation")), false
}

// status logs an error and returns the line that ends a reply.
func (c *session) status(op string, err error) []byte {
	errno := errnoOf(err)
	if err != nil {
		c.s.log.Warn("control request refused", "op", op, "errno", errno, "err", err)
	}
	return append(strconv.AppendInt([]byte("errno="), errno, 10), "\n\n"...)
}

// messages returns the text of err as lines of a reply. Only the extensions have them:
// wg(8) wants the errno of a set on the first line.
func messages(err error) []byte {
	if err == nil {
		return nil
	}
	var b []byte
	for i, line := range strings.Split(err.Error(), "\n") {
		if i == maxMessageLines {
			break
		}
		line = strings.TrimRight(line, "\r")
		b = append(append(append(b, "message="...), line[:min(len(line), maxLine)]...), '\n')
	}
	return b
}

// readEmpty reads the rest of a request that has nothing but its first line.
func readEmpty(l *lineReader) (bad, fatal error) {
	line, err := l.next()
	switch {
	case err == nil && len(line) == 0:
		return nil, nil
	case err != nil && !errors.Is(err, errLineTooLong):
		return nil, cutOff(err)
	}
	bad = errorf(ErrnoInvalid, "more than the operation in the request")
	if err := l.skip(); err != nil {
		fatal = cutOff(err)
	}
	return bad, fatal
}

func firstError(bad, fatal error) error {
	if bad != nil {
		return bad
	}
	return fatal
}

// write sends the reply piece by piece, each within the stall timeout.
func (c *session) write(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), writeChunk)
		if err := c.expectProgress(); err != nil {
			return false
		}
		if _, err := c.conn.Write(b[:n]); err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

// expectProgress bounds the next write.
func (c *session) expectProgress() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	timeout := c.s.o.StallTimeout
	if c.s.closed {
		timeout = closeGrace
	}
	return c.conn.SetWriteDeadline(time.Now().Add(timeout))
}

// Read reads from the connection, within the stall timeout unless the session
// waits for a request.
func (c *session) Read(b []byte) (int, error) {
	var deadline time.Time
	if !c.waiting {
		deadline = time.Now().Add(c.s.o.StallTimeout)
	}
	if err := c.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	return c.conn.Read(b)
}
