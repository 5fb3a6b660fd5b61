// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/internal/socketfile"
)

// A Handler carries out the operations. Its methods are called from the
// goroutines of the connections, several at a time. They may return an [*Error]
// to choose the errno; other errors become the errno that fits them. They must
// not call [Server.Close], which waits for them.
type Handler interface {
	Get() (*Device, error)
	Set(*SetRequest) error
	Reload() error // re-read the configuration file
}

// An Asker is a [Handler] that answers questions beyond the protocol. Ask returns one
// JSON text, of at most 16 MiB. A name that it does not know is an error that wraps
// errors.ErrUnsupported. It may take its time, but has to return by itself within
// seconds: the connection waits for it, and so does [Server.Close].
type Asker interface {
	Ask(name string, args []KeyValue) ([]byte, error)
}

// Options of a [Server]. The zero value of each field is its default.
type Options struct {
	Logger *slog.Logger // default: discard

	// MaxRequest is the size of the largest request accepted, in bytes of text.
	// Default: 64 MiB, 1 KiB for each of the 65,536 peers that wireguard-go takes.
	MaxRequest int64

	// MaxConns is how many connections are kept. One more closes the connection
	// that has been idle for longest, or is itself closed when none is idle.
	// Default: 64.
	MaxConns int

	// StallTimeout ends a connection that makes no progress within a request or
	// reply for so long. Between requests there is no limit. Default: 30 s.
	StallTimeout time.Duration
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.MaxRequest <= 0 {
		out.MaxRequest = defaultMaxRequest
	}
	if out.MaxConns <= 0 {
		out.MaxConns = 64
	}
	if out.StallTimeout <= 0 {
		out.StallTimeout = 30 * time.Second
	}
	return out
}

// socketMode is what the protocol asks for: the owner alone, who can change everything.
const socketMode = 0o600

// A Server is a control socket. Connections wait in its backlog until
// [Server.Serve] runs.
type Server struct {
	// Immutable after construction.
	log       *slog.Logger
	o         Options
	listener  *net.UnixListener
	file      *socketfile.File // nil: no file to watch and to remove
	done      chan struct{}    // closed by Close
	asking    chan struct{}    // has an element for each question under way
	streaming chan struct{}    // likewise for streams

	wg sync.WaitGroup // goroutines of Serve and of the connections

	mu       sync.Mutex // guards below; never held while waiting
	closed   bool
	serving  bool
	sessions map[*session]struct{}
	idleTurn uint64 // counts the sessions that became idle
}

// Listen makes the control socket at path: mode 0600, in a directory that is
// made with mode 0755 if it is missing. A stale socket is replaced; a path that
// somebody accepts connections on is [ErrInUse].
func Listen(path string, o *Options) (*Server, error) {
	l, file, err := socketfile.Listen(path, socketMode)
	if errors.Is(err, socketfile.ErrInUse) {
		err = ErrInUse
	}
	if err != nil {
		return nil, fmt.Errorf("listen on control socket %s: %w", path, err)
	}
	return newServer(l, file, o), nil
}

// FromFile makes a server of a listening socket that was passed to the process
// (WG_UAPI_FD). path is where its file is: deletion is detected there, and
// [Server.Close] removes it. With an empty path there is no file. f is closed,
// also on error.
func FromFile(f *os.File, path string, o *Options) (*Server, error) {
	defer f.Close()
	nl, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("use passed control socket: %w", err)
	}
	l, ok := nl.(*net.UnixListener)
	if !ok {
		nl.Close()
		return nil, fmt.Errorf("use passed control socket: it is %s, not a unix stream socket", nl.Addr().Network())
	}
	l.SetUnlinkOnClose(false)
	if path == "" {
		return newServer(l, nil, o), nil
	}
	file, err := socketfile.At(path)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("use passed control socket: %w", err)
	}
	return newServer(l, file, o), nil
}

func newServer(l *net.UnixListener, file *socketfile.File, o *Options) *Server {
	opts := o.withDefaults()
	return &Server{
		log: opts.Logger, o: opts, listener: l, file: file,
		done: make(chan struct{}), sessions: make(map[*session]struct{}),
		asking: make(chan struct{}, max(1, opts.MaxConns/4)), streaming: make(chan struct{}, maxStreams),
	}
}

// Path returns the path of the socket, "" if there is none.
func (s *Server) Path() string {
	if s.file == nil {
		return ""
	}
	return s.file.Path()
}

// File returns a copy of the listening socket to pass to another process, which
// takes it up with [FromFile]. The caller closes it. Call [Server.Detach]
// instead of Close when the other process has it.
func (s *Server) File() (*os.File, error) { return s.listener.File() }

// Serve carries out requests with h. It returns nil when ctx ends,
// [ErrSocketGone] when the socket file was removed or replaced, and
// net.ErrClosed after [Server.Close]. It closes the server before it returns and
// may be called once.
func (s *Server) Serve(ctx context.Context, h Handler) error {
	ended := make(chan error, 2)
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return net.ErrClosed
	case s.serving:
		s.mu.Unlock()
		return errors.New("uapi: server is already serving")
	}
	s.serving = true
	s.wg.Go(func() { ended <- s.watch(s.done) })
	s.wg.Go(func() { ended <- s.accept(h) })
	s.mu.Unlock()

	var err error
	select {
	case <-ctx.Done():
	case <-s.done:
		err = net.ErrClosed
	case err = <-ended:
		if s.isClosed() { // which may be what it noticed
			err = net.ErrClosed
		}
	}
	if closeErr := s.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	return err
}

// accept takes connections until the listener is closed.
func (s *Server) accept(h Handler) error {
	pause := time.Duration(0)
	for {
		c, err := s.listener.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(c, h)
			continue
		case s.isClosed():
			return net.ErrClosed
		case !passing(err):
			return fmt.Errorf("accept on control socket: %w", err)
		}
		// Said once per spell.
		if pause == 0 {
			s.log.Warn("control socket cannot accept", "err", err)
		}
		pause = min(pause+50*time.Millisecond, time.Second)
		select {
		case <-s.done:
			return net.ErrClosed
		case <-time.After(pause):
		}
	}
}

// passing reports whether accepting may succeed later: out of files or memory,
// which others may free, or a client that left before it was its turn.
func passing(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// start makes a session of c, which takes the place of the one that is idle for
// longest when there are too many.
func (s *Server) start(c net.Conn, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var idlest *session
	if len(s.sessions) >= s.o.MaxConns {
		for other := range s.sessions {
			if other.idle != 0 && (idlest == nil || other.idle < idlest.idle) {
				idlest = other
			}
		}
	}
	if s.closed || len(s.sessions) >= s.o.MaxConns && idlest == nil {
		c.Close()
		return
	}
	if idlest != nil {
		idlest.conn.Close()
		delete(s.sessions, idlest)
	}
	ses := &session{s: s, conn: c, handler: h}
	s.sessions[ses] = struct{}{}
	s.idleTurn++
	ses.idle = s.idleTurn
	s.wg.Go(ses.run)
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close removes the socket file if it is still this server's, ends all
// connections and waits for all goroutines, also for handler calls that are
// under way. Clients of streams have a second to take what is left. It may be called
// more than once.
func (s *Server) Close() error { return s.close(true) }

// Detach is Close without removing the file: for a process that has passed the
// socket to another one.
func (s *Server) Detach() error { return s.close(false) }

func (s *Server) close(remove bool) error {
	var errs []error
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
		// The file goes first: as long as the socket is open its inode is not
		// reused, so the comparison holds.
		if remove && s.file != nil {
			errs = append(errs, s.file.Remove())
		}
		errs = append(errs, s.listener.Close())
		for ses := range s.sessions {
			ses.closeLocked()
		}
	}
	s.mu.Unlock()
	s.wg.Wait()
	return errors.Join(errs...)
}
