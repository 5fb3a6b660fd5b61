// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A Client is a connection to the control socket of a WireGuard program, this
// one or another. It is not safe for concurrent use. After an error that is not
// an [*Error] it can only be closed.
type Client struct {
	conn net.Conn
	r    *bufio.Reader
}

// Dial connects to the control socket at path. [SocketPath] makes one of an
// interface name.
func Dial(path string) (*Client, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to control socket: %w", err)
	}
	return &Client{conn: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

// SetDeadline bounds what follows; the zero time means no bound, which is also
// the default.
func (c *Client) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Get returns the state of the device, keys included.
func (c *Client) Get() (*Device, error) {
	if _, err := io.WriteString(c.conn, "get=1\n\n"); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	d, err := readDevice(c.r)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return d, nil
}

// Set applies r as a whole.
func (c *Client) Set(r *SetRequest) error {
	_, writeErr := c.conn.Write(r.AppendTo([]byte("set=1\n")))
	// Whoever refuses a request may do so before it has read all of it.
	if err := c.readStatus(); err != nil {
		if unanswered(err) && writeErr != nil {
			err = writeErr
		}
		return fmt.Errorf("set: %w", err)
	}
	return nil
}

// Reload makes the program re-read its configuration file; the error says what
// was wrong with it. Programs other than this one do not know the operation:
// errors.ErrUnsupported.
func (c *Client) Reload() error {
	if _, err := io.WriteString(c.conn, "reload=1\n\n"); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	err := c.readStatus()
	var refused *Error
	if errors.As(err, &refused) && refused.Errno == ErrnoProtocol || errors.Is(err, errNoErrno) {
		return fmt.Errorf("reload: the program behind the socket does not know it: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	return nil
}

// unanswered reports whether the connection ended before the reply.
func unanswered(err error) bool {
	var refused *Error
	return !errors.As(err, &refused)
}

// readStatus reads a reply that is an errno line, perhaps with messages before.
func (c *Client) readStatus() error {
	l := &lineReader{r: c.r, maxLine: maxReplyLine, left: unlimited}
	var (
		lines []string
		errno int64
		found bool
	)
	for {
		line, err := l.next()
		switch {
		case err == io.EOF:
			return errNoErrno
		case err != nil:
			return fmt.Errorf("read reply: %w", err)
		case len(line) == 0 && !found:
			return errNoErrno
		case len(line) == 0:
			return replyError(errno, strings.Join(lines, "\n"))
		}
		key, value, _ := cutLine(line)
		switch string(key) {
		case "errno":
			if errno, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return errorf(ErrnoProtocol, "read reply: errno: %w", errNumber)
			}
			found = true
		case "message":
			lines = append(lines, string(value))
		}
	}
}
