// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Keepalive of the host's connections: a vanished client is found after
// 60 + 5 × 15 = 135 s, as in package netstack.
const (
	keepAliveIdle     = 60 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveProbes   = 5
)

// The pause after an error of accept doubles from first to last, so that a
// process without free file descriptors waits for one instead of spinning.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// hostKeepAlive is for listeners and dialers of the host's network.
func hostKeepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveProbes}
}

// listenHost listens on the host's network: address is host:port, an empty host
// means all addresses.
func listenHost(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: hostKeepAlive()}
	return lc.Listen(context.Background(), "tcp", address)
}

// dialHost connects over the host's network.
func dialHost(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: hostKeepAlive()}
	return d.DialContext(ctx, network, address)
}

// A service accepts connections and serves each in a goroutine of its own,
// until it is closed. It keeps the connections that closing has to end.
type service struct {
	// Immutable.
	log      *slog.Logger
	listener net.Listener // nil: the service accepts nothing
	limits   *limits
	count    counters
	silence  time.Duration // of a half-closed relay
	done     chan struct{} // closed by stop
	finished chan struct{} // closed when Run is about to return

	wg sync.WaitGroup // goroutines that Run waits for

	mu      sync.Mutex // guards below
	running bool
	stopped bool
	open    map[net.Conn]struct{}
}

// init sets s up; the listener is its from now on.
func (s *service) init(name string, l net.Listener, limit Limits, log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if l != nil {
		log = log.With("service", name, "listen", l.Addr().String())
	} else {
		log = log.With("service", name)
	}
	s.log = log
	s.listener = l
	s.limits = newLimits(limit.Total, limit.PerClient)
	s.silence = halfClosedTimeout
	s.done = make(chan struct{})
	s.finished = make(chan struct{})
	s.open = make(map[net.Conn]struct{})
}

// Addr returns the address the service listens on, nil if it does not.
func (s *service) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Stats returns the counters. It may be called after Close.
func (s *service) Stats() Stats { return s.count.snapshot(s.limits) }

// Close ends Run, and with it all connections, and waits until it has returned.
// Further calls do nothing.
func (s *service) Close() error {
	running := s.stop()
	if running {
		<-s.finished
	}
	return nil
}

// stop closes the listener and resets the connections. It reports whether Run
// is to be waited for.
func (s *service) stop() (running bool) {
	s.mu.Lock()
	running = s.running
	if s.stopped {
		s.mu.Unlock()
		return running
	}
	s.stopped = true
	open := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	close(s.done)
	if s.listener != nil {
		s.listener.Close()
	}
	for _, c := range open { // without the lock, which some need to close
		reset(c)
	}
	return running
}

// run calls serve until the service is closed or ctx ends; the context of serve
// ends with either. It returns when no goroutine is left.
func (s *service) run(ctx context.Context, serve func(ctx context.Context) error) error {
	s.mu.Lock()
	if s.stopped || s.running {
		again := s.running
		s.mu.Unlock()
		if again {
			return errors.New("proxy: Run called twice")
		}
		return nil
	}
	s.running = true
	s.mu.Unlock()
	defer close(s.finished)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-ctx.Done():
		case <-s.done:
		}
		cancel()
		s.stop()
	})
	err := serve(ctx)
	cancel()
	watcher.Wait()
	s.wg.Wait()
	return err
}

// acceptLoop serves connections until the service is closed.
func (s *service) acceptLoop(ctx context.Context, serve func(ctx context.Context, c net.Conn)) error {
	for {
		c, err := s.accept()
		if err != nil {
			if s.isStopped() {
				return nil
			}
			return err
		}
		s.wg.Go(func() {
			defer s.forget(c)
			serve(ctx, c)
		})
	}
}

// accept returns the next connection within the limits, to be given back with
// forget. It fails when the service or its listener is closed, and for no other
// reason.
func (s *service) accept() (net.Conn, error) {
	pause := firstPause
	failing := false
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if s.isStopped() {
				return nil, net.ErrClosed
			}
			if errors.Is(err, net.ErrClosed) {
				return nil, err // with the device
			}
			s.count.acceptErrors.Add(1)
			if !failing {
				failing = true
				s.log.Warn("cannot accept connections, trying again", "err", err)
			}
			select {
			case <-time.After(pause):
			case <-s.done:
				return nil, net.ErrClosed
			}
			pause = min(2*pause, lastPause)
			continue
		}
		if failing {
			failing = false
			s.log.Info("accepting connections again")
		}
		pause = firstPause
		if !s.limits.acquire(hostOf(c.RemoteAddr())) {
			reset(c)
			continue
		}
		s.count.accepted.Add(1)
		s.count.active.Add(1)
		if !s.track(c) {
			s.forget(c)
			return nil, net.ErrClosed
		}
		return c, nil
	}
}

// forget closes a connection from accept and gives its place back.
func (s *service) forget(c net.Conn) {
	s.untrack(c)
	c.Close()
	s.count.active.Add(-1)
	s.limits.release(hostOf(c.RemoteAddr()))
}

// track makes closing the service reset c. When it is closed already, c is
// reset and track returns false.
func (s *service) track(c net.Conn) bool {
	s.mu.Lock()
	stopped := s.stopped
	if !stopped {
		s.open[c] = struct{}{}
	}
	s.mu.Unlock()
	if stopped {
		reset(c)
	}
	return !stopped
}

func (s *service) untrack(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *service) isStopped() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// relay moves bytes between two connections and closes both. early is what the
// host's side has sent already.
func (s *service) relay(host, tun net.Conn, early []byte) {
	defer s.untrack(host)
	defer s.untrack(tun)
	if !s.track(host) || !s.track(tun) {
		host.Close()
		tun.Close()
		return
	}
	r := relay{host: host, tun: tun, early: early, count: &s.count, silence: s.silence}
	r.run()
}
