// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// halfClosedTimeout is how long a relay may be silent after one side has
// finished. While both are open keepalive finds out whether they live; behind a
// half-closed one may be a process that has forgotten it.
const halfClosedTimeout = 10 * time.Minute

// relay moves bytes between a connection of the host's network and one of the
// tunnel's until both sides have finished, then closes both.
//
// The end of one direction is passed on with CloseWrite and the other goes on.
// An error on one side resets the other, so that nobody takes a part of
// something for all of it. Connections of package netstack move the bytes
// themselves, with buffers that they hold only while there is something to move.
type relay struct {
	host, tun net.Conn
	early     []byte // what the host's side has sent already
	count     *counters
	silence   time.Duration // at least, once half-closed

	out, in atomic.Uint64 // bytes of this relay

	mu      sync.Mutex // guards below
	ended   int        // directions
	aborted bool
	timer   *time.Timer // armed once one direction has ended
}

// run returns when no goroutine is left. Closing the connections ends it.
func (r *relay) run() {
	var wg sync.WaitGroup
	wg.Go(func() { r.end(r.host, r.toHost()) })
	r.end(r.tun, r.toTunnel())
	wg.Wait()
	r.mu.Lock()
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	r.host.Close()
	r.tun.Close()
}

// toTunnel moves what the host's side sends until it has finished.
func (r *relay) toTunnel() error {
	if len(r.early) > 0 {
		n, err := r.tun.Write(r.early)
		r.addOut(n)
		r.early = nil
		if err != nil {
			return err
		}
	}
	_, err := io.Copy(r.tun, r.counted()) // by ReadFrom
	return err
}

// toHost moves what comes out of the tunnel until it has finished.
func (r *relay) toHost() error {
	_, err := io.Copy(r.counted(), r.tun) // by WriteTo
	return err
}

func (r *relay) addOut(n int) {
	if n > 0 {
		r.out.Add(uint64(n))
		r.count.bytesOut.Add(uint64(n))
	}
}

func (r *relay) addIn(n int) {
	if n > 0 {
		r.in.Add(uint64(n))
		r.count.bytesIn.Add(uint64(n))
	}
}

// end takes the end of the direction that leads to a connection.
func (r *relay) end(to net.Conn, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended++
	if err == nil && r.ended == 1 && to == r.tun && disconnected(r.host) {
		// The kernel tells the error of a socket once. Here the other
		// direction has heard it, and this one took the rest for the end.
		err = syscall.ECONNRESET
	}
	var cerr error
	if err == nil && !r.aborted {
		cerr = closeWrite(to)
	}
	switch {
	case err != nil, cerr != nil && r.ended == 1:
		// Failing to say that all was sent does no harm to a connection
		// whose other direction has ended too.
		r.abortLocked(&r.count.resets)
	case r.ended == 1:
		r.watchLocked(r.out.Load() + r.in.Load())
	}
}

// watchLocked ends the relay if no more than seen has moved when the time for
// silence is over, and looks again otherwise.
func (r *relay) watchLocked(seen uint64) {
	r.timer = time.AfterFunc(r.silence, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		now := r.out.Load() + r.in.Load()
		switch {
		case r.ended == 2:
		case now == seen:
			r.abortLocked(&r.count.idle)
		default:
			r.watchLocked(now)
		}
	})
}

// abortLocked resets both connections and counts why, the first time.
func (r *relay) abortLocked(why *atomic.Uint64) {
	if r.aborted {
		return
	}
	r.aborted = true
	why.Add(1)
	reset(r.host)
	reset(r.tun)
}

// counted returns the host's side as the tunnel's side sees it.
func (r *relay) counted() io.ReadWriter {
	c := counted{r}
	if raw, ok := r.host.(syscall.Conn); ok {
		return countedSocket{c, raw}
	}
	return c
}

// counted counts what is read from and written to the host's side while it
// passes.
type counted struct{ r *relay }

func (c counted) Read(b []byte) (int, error) {
	n, err := c.r.host.Read(b)
	c.r.addOut(n)
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.r.host.Write(b)
	c.r.addIn(n)
	return n, err
}

// countedSocket is a counted socket, whose reader can wait for it without
// holding a buffer.
type countedSocket struct {
	counted
	syscall.Conn
}

// writerOnly hides other methods from io.Copy.
type writerOnly struct{ io.Writer }

// closeWrite ends the writing side of a connection.
func closeWrite(c net.Conn) error {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return c.Close()
}

// reset closes a connection so that its peer sees an error and not the end of
// what was sent.
func reset(c net.Conn) {
	inner := c
	for {
		if l, ok := inner.(interface{ SetLinger(sec int) error }); ok {
			l.SetLinger(0) // closed already
			break
		}
		w, ok := inner.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		inner = w.NetConn()
	}
	if inner != c {
		inner.Close() // first: closing TLS would say that all was sent
	}
	c.Close()
}
