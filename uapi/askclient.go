// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Ask asks the question called name, with args, and returns the answer, a JSON text.
// What programs other than this one do not know, and this one in a version that does
// not know the question, is errors.ErrUnsupported.
func (c *Client) Ask(name string, args ...KeyValue) ([]byte, error) {
	text, err := appendAsk(nil, name, args)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	if _, err := c.conn.Write(text); err != nil {
		return nil, fmt.Errorf("ask %s: %w", name, err)
	}
	answer, err := c.readAnswer()
	var refused *Error
	switch {
	case errors.As(err, &refused) && (refused.Errno == ErrnoProtocol || refused.Errno == ErrnoUnsupported), errors.Is(err, errNoErrno):
		return nil, fmt.Errorf("ask %s: the program behind the socket does not know it: %w", name, errors.ErrUnsupported)
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w", name, err)
	}
	return answer, nil
}

// readAnswer reads the reply to a question.
func (c *Client) readAnswer() ([]byte, error) { return c.readAnswerFrom(nil) }

// readAnswerFrom is readAnswer when its first line was read already; nil: it was not.
func (c *Client) readAnswerFrom(first []byte) ([]byte, error) {
	// An answer of the largest size, with its keys, and messages.
	l := &lineReader{r: c.r, maxLine: maxReplyLine, left: 2 * maxAnswer}
	var (
		answer   []byte
		messages []string
		errno    int64
		found    bool
	)
	for {
		line, err := first, error(nil)
		if line == nil {
			line, err = l.next()
		}
		first = nil
		switch {
		case err == io.EOF, err == nil && len(line) == 0 && !found:
			return nil, errNoErrno
		case err != nil:
			return nil, fmt.Errorf("read reply: %w", err)
		case len(line) == 0 && errno != 0:
			return nil, replyError(errno, strings.Join(messages, "\n"))
		case len(line) == 0:
			return answer, nil
		}
		key, value, _ := cutLine(line)
		switch string(key) {
		case "errno":
			if errno, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return nil, errorf(ErrnoIO, "read reply: errno: %w", errNumber)
			}
			found = true
		case "json":
			answer = append(answer, value...)
		case "message":
			messages = append(messages, string(value))
		}
	}
}
