// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bufio"
	"errors"
	"io"
	"strconv"
)

const (
	// maxLine is the longest line accepted in a request, newline included. The
	// longest that a client has reason to send is a preshared key: 79 bytes.
	maxLine = 4 << 10

	// maxReplyLine is the longest line accepted in a reply. Extension keys of
	// other implementations may be long.
	maxReplyLine = 1 << 20

	// defaultMaxRequest is the largest request accepted: 65,536 peers, the most
	// that wireguard-go takes (device.MaxPeers), of 1 KiB each. A peer with every
	// key and three IPv6 prefixes takes 470 bytes.
	defaultMaxRequest = 64 << 20

	// unlimited is a message size that is never reached.
	unlimited = 1<<63 - 1
)

var (
	errLineTooLong    = errors.New("line longer than " + strconv.Itoa(maxLine) + " bytes")
	errRequestTooLong = errors.New("request too long")
)

// A lineReader reads the lines of one message within limits.
type lineReader struct {
	r       *bufio.Reader
	maxLine int
	left    int64  // what the message may still take
	long    []byte // a line that did not fit in r's buffer
}

// next returns the next line without its newline, valid until the next call.
//
// After errLineTooLong the reader stands behind that line, so the message can be
// read on. Every other error is final; io.EOF is an end between two lines,
// io.ErrUnexpectedEOF one within a line.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.left -= int64(len(line))
	if l.left < 0 {
		return nil, errRequestTooLong
	}
	if err == bufio.ErrBufferFull {
		return l.nextLong(line)
	}
	if err != nil {
		return nil, endError(err, len(line))
	}
	if len(line) > l.maxLine {
		return nil, errLineTooLong
	}
	return line[:len(line)-1], nil
}

// nextLong goes on with a line of which first is the beginning.
func (l *lineReader) nextLong(first []byte) ([]byte, error) {
	l.long = append(l.long[:0], first...)
	tooLong := len(first) > l.maxLine
	for {
		part, err := l.r.ReadSlice('\n')
		l.left -= int64(len(part))
		if l.left < 0 {
			return nil, errRequestTooLong
		}
		if tooLong = tooLong || len(l.long)+len(part) > l.maxLine; !tooLong {
			l.long = append(l.long, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err != nil:
			return nil, endError(err, len(l.long))
		case tooLong:
			return nil, errLineTooLong
		}
		return l.long[:len(l.long)-1], nil
	}
}

// skip reads up to and including the next blank line.
func (l *lineReader) skip() error {
	for {
		line, err := l.next()
		if err == errLineTooLong {
			continue
		}
		if err != nil || len(line) == 0 {
			return err
		}
	}
}

// endError tells an end of the stream within a line from one between lines.
func endError(err error, part int) error {
	if err == io.EOF && part > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
