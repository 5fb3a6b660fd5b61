// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// askPrefix begins the first line of a question.
const askPrefix = "ask="

const (
	// maxAsk is the longest question, in bytes of text behind its first line: a dozen
	// keys and addresses, and much to spare.
	maxAsk = 64 << 10

	// maxAnswer is the longest answer, in bytes of JSON: 1 KiB for each of 16,384 peers.
	maxAnswer = 16 << 20

	// maxAnswerLine is how much of an answer a line has, so that the line with its key
	// and newline is one that clients accept.
	maxAnswerLine = maxReplyLine - len("json=\n")
)

// appendAsk appends a question, with its first line and the blank line at its end. It
// refuses what would not come back as it is.
func appendAsk(b []byte, name string, args []KeyValue) ([]byte, error) {
	return appendRequest(b, askPrefix, name, args)
}

// appendRequest is appendAsk for one that begins with prefix.
func appendRequest(b []byte, prefix, name string, args []KeyValue) ([]byte, error) {
	if !askName(name) {
		return nil, errors.New("name of a question: want letters a-z, digits and _")
	}
	b = append(append(append(b, prefix...), name...), '\n')
	begin := len(b)
	for _, kv := range args {
		switch {
		case !askName(kv.Key):
			return nil, errors.New("key of a question: want letters a-z, digits and _")
		case strings.ContainsAny(kv.Value, "\r\n"):
			return nil, errors.New(kv.Key + ": line break in the value")
		case len(kv.Key)+len(kv.Value)+2 > maxLine:
			return nil, errors.New(kv.Key + ": " + errLineTooLong.Error())
		}
		b = append(append(append(append(b, kv.Key...), '='), kv.Value...), '\n')
	}
	b = append(b, '\n')
	if len(b)-begin > maxAsk {
		return nil, errRequestTooLong
	}
	return b, nil
}

// askName reports whether s can be the name of a question or a key of one.
func askName(s string) bool { return s != "" && printable([]byte(s)) == s }

// readAsk reads a question behind its first line. bad says what is wrong with it; fatal
// that what follows in the stream is not the next request. Either makes args nil.
func readAsk(l *lineReader) (args []KeyValue, bad, fatal error) {
	l.left = min(l.left, maxAsk)
	for {
		line, err := l.next()
		switch {
		case errors.Is(err, errLineTooLong):
			bad = errorf(ErrnoInvalid, "read question: %w", err)
		case errors.Is(err, errRequestTooLong):
			return nil, nil, errorf(ErrnoInvalid, "read question: %w", err)
		case err != nil:
			return nil, nil, cutOff(err)
		case len(line) == 0:
			return args, nil, nil
		default:
			key, value, ok := cutLine(line)
			if ok && askName(string(key)) && bytes.IndexByte(value, '\r') < 0 {
				args = append(args, KeyValue{Key: string(key), Value: string(value)})
				continue
			}
			bad = errorf(ErrnoInvalid, "line of a question is not key=value")
		}
		if err := l.skip(); err != nil {
			fatal = cutOff(err)
		}
		return nil, bad, fatal
	}
}

// ask asks the handler and returns the lines of its answer.
func (c *session) ask(name string, args []KeyValue) ([]byte, error) {
	asker, ok := c.handler.(Asker)
	if !ok {
		return nil, errorf(ErrnoUnsupported, "no questions are answered here")
	}
	if !askName(name) {
		return nil, errorf(ErrnoInvalid, "name of a question: want letters a-z, digits and _")
	}
	select {
	case c.s.asking <- struct{}{}:
		defer func() { <-c.s.asking }()
	default:
		return nil, errorf(ErrnoUnknown, "too many questions at a time; ask again later")
	}
	answer, err := asker.Ask(name, args)
	if err != nil {
		return nil, unsupported(err)
	}
	return appendAnswer(nil, answer)
}

// unsupported gives an error that says that something is not known its errno.
func unsupported(err error) error {
	var own *Error
	if errors.Is(err, errors.ErrUnsupported) && !errors.As(err, &own) {
		return &Error{Errno: ErrnoUnsupported, Err: err}
	}
	return err
}

// answered returns the lines behind a stream.
func (c *session) answered(op string, answer []byte, err error) (lines []byte) {
	switch {
	case err == nil && answer != nil:
		lines, err = appendAnswer(nil, answer)
	case gone(err):
		return nil // nobody reads it
	case err != nil:
		err = unsupported(err)
	}
	return append(append(lines, messages(err)...), c.status(op, err)...)
}

// appendAnswer appends the lines of an answer. Compacting it takes line breaks out and
// tells whether it is JSON at all.
func appendAnswer(b, answer []byte) ([]byte, error) {
	if len(answer) > maxAnswer {
		return nil, errorf(ErrnoUnknown, "answer of %d bytes is too long", len(answer))
	}
	var text bytes.Buffer
	if err := json.Compact(&text, answer); err != nil {
		return nil, errorf(ErrnoUnknown, "answer is not JSON: %w", err)
	}
	for rest := text.Bytes(); len(rest) > 0; {
		n := min(len(rest), maxAnswerLine)
		b = append(append(append(b, "json="...), rest[:n]...), '\n')
		rest = rest[n:]
	}
	return b, nil
}
