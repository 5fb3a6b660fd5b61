// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// Pauses of the goroutine that looks after the table.
const (
	tickPause = time.Second
	ownPause  = time.Minute // between two looks at the addresses of the host
)

// A Server is a relay: a [Table] behind sockets. All methods are safe for
// concurrent use.
type Server struct {
	// immutable
	log     *slog.Logger
	table   *Table
	groups  []*batching.Group
	conns   [][]socket // of each group
	workers []*worker
	closing chan struct{} // closed when the sockets are

	mu      sync.Mutex    // guards the fields below
	running chan struct{} // closed when Run has ended; nil: it was not called
	closed  bool
	err     error // of closing the sockets
}

// A socket is one batched UDP socket; [*batching.Conn] is one.
type socket interface {
	ReadBatch(slab []byte, pkts []batching.Packet) (n int, err error)
	writer
	LocalAddr() netip.AddrPort
}

// New opens the sockets of a relay. What arrives waits in them for [Server.Run].
// The error says which option is wrong, or unwraps to the error number of the
// kernel as that of [batching.Listen] does.
func New(o *Options) (*Server, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	groups, err := listen(o)
	if err != nil {
		return nil, err
	}
	s := &Server{
		log:     o.Logger,
		groups:  groups,
		closing: make(chan struct{}),
		table: NewTable(&TableOptions{
			Identity: o.Identity, MaxSessions: o.MaxSessions,
			MaxSessionsPerClient: o.MaxSessionsPerClient, MaxRate: o.MaxRate,
		}),
	}
	for g, group := range groups {
		var conns []socket
		for i, c := range group.Conns() {
			conns = append(conns, c)
			s.workers = append(s.workers, newWorker(s, c, g, i))
		}
		s.conns = append(s.conns, conns)
	}
	s.table.SetOwn(s.ownAddrs())
	s.SetAllowed(o.Allowed)
	return s, nil
}

// Run relays until ctx ends or [Server.Close] is called, and has closed the
// sockets when it returns. The error is [net.ErrClosed] when the server was closed
// before, one of closing the sockets, else nil. It can be called once.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.closed || s.running != nil {
		defer s.mu.Unlock()
		if s.closed {
			return net.ErrClosed
		}
		return errors.New("relay: Run was called before")
	}
	s.running = make(chan struct{})
	s.mu.Unlock()
	defer close(s.running)

	stop := context.AfterFunc(ctx, s.shut)
	defer stop()
	s.log.Info("relay listens", "addrs", s.Addrs(), "sockets", len(s.workers))
	var wg sync.WaitGroup
	for _, w := range s.workers {
		wg.Go(w.run)
	}
	s.tick()
	wg.Wait()
	s.log.Info("relay stopped")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// tick looks after the table until the server is closed.
func (s *Server) tick() {
	every := time.NewTicker(tickPause)
	defer every.Stop()
	looked := time.Now()
	for {
		select {
		case <-s.closing:
			return
		case now := <-every.C:
			s.table.Tick(now)
			if now.Sub(looked) >= ownPause {
				looked = now
				s.table.SetOwn(s.ownAddrs())
			}
		}
	}
}

// Close closes the sockets and waits until [Server.Run] has ended. Closing again
// does nothing and returns the same error.
func (s *Server) Close() error {
	s.shut()
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if running != nil {
		<-running
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// shut closes the sockets, which ends the workers.
func (s *Server) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.err = closeGroups(s.groups)
	close(s.closing)
}

// SetAllowed makes keys the clients, live, as [Table.SetAllowed].
func (s *Server) SetAllowed(keys []disco.Key) {
	n := s.table.SetAllowed(keys)
	s.log.Info("relay has clients", "clients", n)
	if n < len(keys) {
		s.log.Warn("public keys that are repeated, the relay's own or no keys are left out", "keys", len(keys)-n)
	}
}

// Addrs returns the addresses that the relay listens on.
func (s *Server) Addrs() []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(s.groups))
	for i, g := range s.groups {
		addrs[i] = g.LocalAddr()
	}
	return addrs
}

// ownAddrs returns the addresses that packets to the relay can have, as far as
// this host knows.
func (s *Server) ownAddrs() []netip.AddrPort {
	own := s.Addrs()
	host, err := net.InterfaceAddrs()
	if err != nil {
		s.log.Warn("the addresses of the host are not known", "err", err)
	}
	for _, listen := range s.Addrs() {
		if !listen.Addr().IsUnspecified() {
			continue
		}
		for _, a := range host {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					own = append(own, netip.AddrPortFrom(ip, listen.Port()))
				}
			}
		}
	}
	return own
}

// Sessions returns all sessions, in no order.
func (s *Server) Sessions() []SessionStatus { return s.table.Sessions() }
