// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/netstack"
)

// STDIOOptions configure a [STDIO] service.
type STDIOOptions struct {
	// Target is host:port in the tunnel.
	Target string

	// In is sent to the target, what it answers is written to Out: standard
	// input and output for an OpenSSH ProxyCommand.
	In  io.Reader
	Out io.Writer

	// Logger for changes of state. nil discards.
	Logger *slog.Logger
}

// STDIO connects a reader and a writer to one target in the tunnel.
type STDIO struct {
	service

	// Immutable.
	target string
	in     io.Reader
	out    io.Writer
	dialer dialer
}

// NewSTDIO prepares a connection, which Run makes.
func NewSTDIO(n *netstack.Net, o *STDIOOptions) (*STDIO, error) {
	if err := checkTarget(o.Target); err != nil {
		return nil, err
	}
	s := &STDIO{target: o.Target, in: o.In, out: o.Out}
	s.init("stdio", nil, Limits{}, o.Logger)
	s.dialer = dialer{n.DialContext, connectTimeout, &s.count}
	return s, nil
}

// Run connects and returns when the target has finished: nil if it did so
// properly or if ctx ended or Close was called. The end of In is passed on to
// the target. When Run ends, it closes In if that is an io.Closer; a Read that
// goes on nevertheless, as one of a terminal does, is the only thing it leaves
// behind.
func (s *STDIO) Run(ctx context.Context) error {
	return s.run(ctx, func(ctx context.Context) error {
		err := s.serve(ctx)
		if ctx.Err() != nil || s.isStopped() {
			return nil // asked for
		}
		return err
	})
}

func (s *STDIO) serve(ctx context.Context) error {
	tun, err := s.dialer.connect(ctx, s.target)
	if err != nil {
		return err
	}
	defer tun.Close()
	if !s.track(tun) {
		return nil
	}
	defer s.untrack(tun)
	s.count.accepted.Add(1)
	s.count.active.Add(1)
	defer s.count.active.Add(-1)

	sent := make(chan error, 1)
	go func() { sent <- s.send(tun) }() // not waited for: see Run
	_, err = io.Copy(countedWriter{s.out, &s.count.bytesIn}, tun)
	if c, ok := s.in.(io.Closer); ok {
		defer c.Close()
	}
	if err == nil {
		return nil
	}
	s.count.resets.Add(1)
	reset(tun)
	if errors.Is(err, net.ErrClosed) { // by send or by stop
		select {
		case serr := <-sent:
			return serr
		case <-s.done:
		}
	}
	return err
}

// send sends In to the target. An error of In resets the connection.
func (s *STDIO) send(tun net.Conn) error {
	_, err := io.Copy(tun, countedReader{s.in, &s.count.bytesOut})
	if err != nil {
		reset(tun)
		return err
	}
	return closeWrite(tun)
}

// countedReader adds up what is read.
type countedReader struct {
	io.Reader
	n *atomic.Uint64
}

func (c countedReader) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(uint64(n))
	return n, err
}

// countedWriter adds up what is written.
type countedWriter struct {
	io.Writer
	n *atomic.Uint64
}

func (c countedWriter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n.Add(uint64(n))
	return n, err
}
