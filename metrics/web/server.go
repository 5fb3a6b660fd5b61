// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/internal/socketfile"
)

// socketMode lets the group of the directory's owner ask too, so that a scraper needs
// no root.
const socketMode = 0o660

// A Server answers questions about a router over HTTP. Connections wait in its backlog
// until [Server.Run] runs.
type Server struct {
	// Immutable after construction.
	o       Options
	log     *slog.Logger
	guard   *guard
	page    *document
	history *history
	status  *shared
	conns   *conns
	addr    net.Addr
	file    *socketfile.File // nil: not a Unix socket
	http    *http.Server
	done    chan struct{} // closed by Close
	slots   chan struct{} // has an element for each request under way

	wg sync.WaitGroup // goroutines of Run, and handlers

	mu      sync.Mutex // guards below; never held while waiting
	closed  bool
	running bool
}

// Listen makes a server. A Unix socket has mode 0660 and is in a directory that is made
// with mode 0755 if it is missing; a stale one is replaced.
func Listen(o *Options) (*Server, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("serve http: %w", err)
	}
	p, err := opts.place()
	if err != nil {
		return nil, fmt.Errorf("serve http on %q: %w", o.Listen, err)
	}
	page, err := newDocument()
	if err != nil {
		return nil, fmt.Errorf("serve http: %w", err)
	}
	l, file, err := p.listen()
	if err != nil {
		return nil, fmt.Errorf("serve http on %q: %w", o.Listen, err)
	}
	s := &Server{
		o: opts, log: opts.Logger, guard: newGuard(&opts, p), page: page, history: newHistory(),
		conns: newConns(l, maxConns), addr: p.addr(l), file: file,
		done: make(chan struct{}), slots: make(chan struct{}, maxRequests),
	}
	if opts.Status != nil {
		s.status = &shared{ask: opts.Status, good: opts.timing.status}
	}
	s.http = &http.Server{
		Handler:                      http.HandlerFunc(s.serve),
		ReadHeaderTimeout:            opts.timing.header,
		ReadTimeout:                  opts.timing.header,
		WriteTimeout:                 opts.timing.write,
		IdleTimeout:                  opts.timing.idle,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ConnContext:                  withConn,
		ErrorLog:                     slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func (p *place) listen() (net.Listener, *socketfile.File, error) {
	if p.path != "" {
		return socketfile.Listen(p.path, socketMode)
	}
	l, err := net.Listen("tcp", p.address)
	return l, nil, err
}

// addr returns where clients find l, which is not where the file of a socket was made.
func (p *place) addr(l net.Listener) net.Addr {
	if p.path != "" {
		return &net.UnixAddr{Name: p.path, Net: "unix"}
	}
	return l.Addr()
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.addr }

// Run serves. It returns nil when ctx ends and net.ErrClosed after [Server.Close]. It
// closes the server before it returns and may be called once.
func (s *Server) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return net.ErrClosed
	case s.running:
		s.mu.Unlock()
		return errors.New("web: server is already running")
	}
	s.running = true
	s.wg.Go(func() { ended <- s.http.Serve(s.conns) })
	if s.o.Page != nil {
		s.wg.Go(s.sample)
	}
	s.mu.Unlock()

	s.log.Info("serving http", "address", s.addr.String())
	var err error
	select {
	case <-ctx.Done():
	case <-s.done:
		err = net.ErrClosed
	case err = <-ended:
		if s.isClosed() {
			err = net.ErrClosed
		}
	}
	if closeErr := s.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	return err
}

// Close ends Run, closes all connections, removes a Unix socket and waits for what the
// server has asked for. It is idempotent. Not from within the functions of Options.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	var err error
	if first {
		close(s.done)
		if s.file != nil {
			err = s.file.Remove() // before the inode can be used again
		}
		s.conns.Close() // by itself if Run never ran
		if httpErr := s.http.Close(); httpErr != nil && !errors.Is(httpErr, net.ErrClosed) {
			err = errors.Join(err, httpErr)
		}
	}
	s.wg.Wait()
	return err
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// enter counts a handler, unless the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.wg.Add(1)
	}
	return !s.closed
}

// sampleShare is how much longer than a question for the page the pause after it is at
// least, so that the page costs at most about one percent of a CPU.
const sampleShare = 100

// sample asks for what the page shows until the server is closed.
func (s *Server) sample() {
	failing := false
	for {
		begun := time.Now()
		d, err := s.o.Page()
		took := time.Since(begun)
		switch {
		case err == nil && d != nil:
			s.history.add(d, begun)
			failing = false
		case !failing:
			failing = true
			s.log.Warn("state for the status page is not available", "err", err)
		}
		pause := time.NewTimer(max(s.o.timing.sample-took, sampleShare*took))
		select {
		case <-s.done:
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}
