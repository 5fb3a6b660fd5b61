// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// streamEnd is how long the program behind the socket has for what is left of a stream
// when the client has had enough.
const streamEnd = 5 * time.Second

// Stream asks for the stream called name, with args, and copies it to w until it ends.
// When ctx ends the rest is asked for, so that the stream ends as it should. It returns
// the answer behind the stream, a JSON text. The Client can only be closed then.
//
// What programs other than this one do not know is errors.ErrUnsupported.
func (c *Client) Stream(ctx context.Context, w io.Writer, name string, args ...KeyValue) ([]byte, error) {
	text, err := appendRequest(nil, streamPrefix, name, args)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if _, err := c.conn.Write(text); err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	defer context.AfterFunc(ctx, func() {
		if half, ok := c.conn.(*net.UnixConn); ok {
			_ = c.conn.SetDeadline(time.Now().Add(streamEnd))
			_ = half.CloseWrite() // if it is closed, reading says so
		}
	})()
	answer, err := c.readStream(w)
	var refused *Error
	switch {
	case errors.As(err, &refused) && (refused.Errno == ErrnoProtocol || refused.Errno == ErrnoUnsupported):
		return nil, fmt.Errorf("stream %s: the program behind the socket does not know it: %w", name, errors.ErrUnsupported)
	case err != nil:
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	return answer, nil
}

// readStream copies a stream to w and returns the answer behind it.
func (c *Client) readStream(w io.Writer) ([]byte, error) {
	l := &lineReader{r: c.r, maxLine: maxReplyLine, left: unlimited}
	line, err := readPieces(l, w)
	switch {
	case err == io.EOF:
		return nil, errNoErrno
	case err != nil:
		return nil, err
	}
	return c.readAnswerFrom(bytes.Clone(line))
}
