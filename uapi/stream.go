// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// streamPrefix begins the first line of a request for a stream, dataPrefix the line
// before each piece of it, which is its length.
const (
	streamPrefix = "stream="
	dataPrefix   = "data="
)

const (
	// maxStreams bounds the streams of a Server at a time, so that a get finds room.
	maxStreams = 8
	// maxPiece is how much of a stream follows one data line.
	maxPiece = 64 << 10
	// streamBuffer is what the kernel keeps of a stream. It counts what it needs for
	// that too, about a third.
	streamBuffer = 4 << 20
)

// A Streamer is a [Handler] that answers some questions with a stream of bytes. Stream
// writes it to w until there is no more or ctx ends, which is when the client has had
// enough or is gone, and returns soon after. It may write as fast as it likes: a Write
// waits for a client that reads slowly, without a limit, and fails when it is gone. The
// answer, one JSON text, follows the stream. A name that it does not know is an error
// that wraps errors.ErrUnsupported.
type Streamer interface {
	Stream(ctx context.Context, name string, args []KeyValue, w io.Writer) (answer []byte, err error)
}

// stream answers a request for a stream, which is the last one of the connection: what
// the client sends from now on, its end too, ends the stream.
func (c *session) stream(r *bufio.Reader, name string, args []KeyValue) []byte {
	streamer, ok := c.handler.(Streamer)
	if !ok {
		return c.answered("stream", nil, errorf(ErrnoUnsupported, "there are no streams here"))
	}
	if !askName(name) {
		return c.answered("stream", nil, errorf(ErrnoInvalid, "name of a stream: want letters a-z, digits and _"))
	}
	select {
	case c.s.streaming <- struct{}{}:
		defer func() { <-c.s.streaming }()
	default:
		return c.answered("stream", nil, errorf(ErrnoUnknown, "too many streams at a time; end one of them"))
	}
	if c.beginStream() != nil {
		return nil // closed
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watched := make(chan struct{})
	c.waiting = true // for as long as it takes
	go func() {
		defer close(watched)
		defer cancel()
		_, _ = r.Peek(1) // whatever comes
	}()
	if u, ok := c.conn.(*net.UnixConn); ok {
		enlarge(u, streamBuffer)
	}
	answer, err := streamer.Stream(ctx, name, args, &pieces{conn: c.conn})
	// The watcher may wait for the client still, or be about to.
	for done := false; !done; {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // fails only when closed, which wakes it too
		select {
		case <-watched:
			done = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	return c.answered("stream", answer, err)
}

// closeGrace is how long clients have for what is left of their streams when the Server is
// closed.
const closeGrace = time.Second

// beginStream lets the client read as slowly as it likes.
func (c *session) beginStream() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.closed {
		return net.ErrClosed
	}
	c.streaming = true
	return c.conn.SetWriteDeadline(time.Time{})
}

// closeLocked ends the session when the Server is closed: a stream as if its client had
// had enough.
func (c *session) closeLocked() {
	if half, ok := c.conn.(*net.UnixConn); ok && c.streaming &&
		half.CloseRead() == nil && half.SetWriteDeadline(time.Now().Add(closeGrace)) == nil {
		return
	}
	c.conn.Close()
}

// A pieces cuts a stream into pieces with their lengths before.
type pieces struct {
	conn net.Conn
	line []byte
}

// Write writes b and waits for the client as long as it takes: whoever reads slowly, or
// stops to read, misses the stream, and holds up nobody else.
func (p *pieces) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		piece := b[n:min(len(b), n+maxPiece)]
		p.line = append(strconv.AppendInt(append(p.line[:0], dataPrefix...), int64(len(piece)), 10), '\n')
		both := net.Buffers{p.line, piece}
		var m int64
		m, err = both.WriteTo(p.conn)
		n += max(0, int(m)-len(p.line))
	}
	return n, err
}

// readPieces copies a stream to w and returns the first line behind it, valid until the
// next is read.
func readPieces(l *lineReader, w io.Writer) ([]byte, error) {
	for {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		key, value, _ := cutLine(line)
		if string(key)+"=" != dataPrefix {
			return line, nil
		}
		n, err := strconv.ParseInt(string(value), 10, 32)
		if err != nil || n < 0 || n > maxPiece {
			return nil, errorf(ErrnoIO, "length of a piece: %w", errNumber)
		}
		if _, err := io.CopyN(w, l.r, n); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// gone reports whether err says that the client has left, which is how it may end a
// stream.
func gone(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !errors.Is(err, os.ErrDeadlineExceeded)
}
