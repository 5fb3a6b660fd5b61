// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bufio"
	"io"
	"net"
)

const (
	MaxLine    = maxLine
	MaxRequest = defaultMaxRequest
)

var (
	ErrnoOf           = errnoOf
	ErrLineTooLong    = errLineTooLong
	ErrRequestTooLong = errRequestTooLong
	ErrNoErrno        = errNoErrno
)

// NewPipeServer is a server without a listener, for connections made with
// Start.
func NewPipeServer(o *Options) *Server { return newServer(nil, nil, o) }

// Start serves one connection.
func (s *Server) Start(c net.Conn, h Handler) { s.start(c, h) }

// EndSessions closes all connections and waits for their goroutines.
func (s *Server) EndSessions() {
	s.mu.Lock()
	for ses := range s.sessions {
		ses.conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Busy is how many sessions are inside a request.
func (s *Server) Busy() (busy, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ses := range s.sessions {
		if ses.idle == 0 {
			busy++
		}
	}
	return busy, len(s.sessions)
}

// Limits and text forms of questions.
const (
	MaxAsk        = maxAsk
	MaxAnswer     = maxAnswer
	MaxAnswerLine = maxAnswerLine
)

var AppendAsk = appendAsk

// ReadAsk reads a question behind its first line.
func ReadAsk(r *bufio.Reader) (args []KeyValue, bad, fatal error) {
	return readAsk(&lineReader{r: r, maxLine: maxLine, left: defaultMaxRequest})
}

// MaxStreams is how many streams a Server has at a time.
const MaxStreams = maxStreams

// ReadStream reads a stream, and the answer behind it, from r.
func ReadStream(r io.Reader, w io.Writer) ([]byte, error) {
	return (&Client{r: bufio.NewReader(r)}).readStream(w)
}
