// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// acceptPause is how long to wait after an error of accept(2), which is mostly that
// there are no descriptors left.
const acceptPause = 50 * time.Millisecond

// conns is a listener that keeps at most max connections. When there is one more, the
// one that has been without a request for longest is closed; when all have one, the
// new one is.
type conns struct {
	net.Listener
	max  int
	done chan struct{} // closed by Close
	once sync.Once

	mu      sync.Mutex // guards below; never held while waiting
	open    int
	waiting *list.List // of *conn that have no request, longest first
	refused uint64     // connections closed to stay below max
}

func newConns(l net.Listener, most int) *conns {
	return &conns{Listener: l, max: most, done: make(chan struct{}), waiting: list.New()}
}

// A conn is a connection of conns.
type conn struct {
	net.Conn
	in *conns

	at     *list.Element // guarded by in.mu; nil: has a request, or is closed
	closed bool          // guarded by in.mu
}

// Accept returns the next connection. It fails with net.ErrClosed only: anything else
// passes, and the server shall not end for it.
func (l *conns) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil:
			select {
			case <-l.done:
				return nil, net.ErrClosed
			case <-time.After(acceptPause):
			}
			continue
		}
		c, out := l.admit(nc)
		if out != nil {
			out.Close()
		}
		if c != nil {
			return c, nil
		}
	}
}

// admit takes up nc, or returns nil. out is to be closed in any case.
func (l *conns) admit(nc net.Conn) (c *conn, out net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.max {
		l.refused++
		oldest := l.waiting.Front()
		if oldest == nil {
			return nil, nc
		}
		old := oldest.Value.(*conn)
		old.leaveLocked()
		out = old.Conn
	}
	c = &conn{Conn: nc, in: l}
	c.at = l.waiting.PushBack(c)
	l.open++
	return c, out
}

// Close closes the listener, not its connections.
func (l *conns) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.done)
		err = l.Listener.Close()
	})
	return err
}

// leaveLocked takes c out of the count.
func (c *conn) leaveLocked() {
	if c.closed {
		return
	}
	c.closed = true
	c.in.open--
	if c.at != nil {
		c.in.waiting.Remove(c.at)
		c.at = nil
	}
}

// Close closes the connection.
func (c *conn) Close() error {
	c.in.mu.Lock()
	c.leaveLocked()
	c.in.mu.Unlock()
	return c.Conn.Close()
}

// begin notes that c has a request, end that it is answered.
func (c *conn) begin() {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.at != nil {
		c.in.waiting.Remove(c.at)
		c.at = nil
	}
}

func (c *conn) end() {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if !c.closed && c.at == nil {
		c.at = c.in.waiting.PushBack(c)
	}
}

// connKey finds the conn of a request in its context.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}
