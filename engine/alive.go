// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/metrics/web"
)

const (
	// aliveInterval is the time between two pings to an address of CheckAlive, where
	// the file does not say. wireproxy has the same.
	aliveInterval = 5 * time.Second
	// aliveSlack is how much later than asked for an answer may come.
	aliveSlack = 2 * time.Second
)

// aliveChecks ping addresses in the tunnel, one goroutine each, so that readiness says
// whether packets get through and not only whether there was a handshake. Methods are
// safe for concurrent use; update and close are called one at a time.
type aliveChecks struct {
	ping func(context.Context, netip.Addr) (time.Duration, error)
	log  *slog.Logger

	cancel   context.CancelFunc // nil: none run
	running  sync.WaitGroup
	addrs    []netip.Addr
	interval time.Duration

	mu   sync.Mutex // guards below
	last map[netip.Addr]aliveState
}

type aliveState struct {
	began    time.Time // of the checks
	answered time.Time // zero: never
	failed   bool      // and the log said so
}

// updateAlive makes the checks those of cfg, in netstack mode. Those that stay as they
// are go on.
func (e *Engine) updateAlive(cfg *config.Config) {
	if e.netdev == nil {
		return
	}
	every := time.Duration(cfg.Interface.CheckAliveInterval) * time.Second
	if every == 0 {
		every = aliveInterval
	}
	a := &e.alive
	if a.ping == nil {
		a.ping, a.log = e.Net().Ping, e.log
	}
	a.update(cfg.Interface.CheckAlive, every)
}

func (a *aliveChecks) update(addrs []netip.Addr, every time.Duration) {
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	if slices.Equal(a.addrs, addrs) && (a.interval == every || len(addrs) == 0) {
		return
	}
	a.close()
	if len(addrs) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	a.mu.Lock()
	a.addrs, a.interval = addrs, every
	a.last = make(map[netip.Addr]aliveState, len(addrs))
	for _, addr := range addrs {
		a.last[addr] = aliveState{began: time.Now()}
	}
	a.mu.Unlock()
	for _, addr := range addrs {
		a.running.Go(func() { a.run(ctx, addr, every) })
	}
}

// run pings until ctx ends. A ping has as long as the next one is away.
func (a *aliveChecks) run(ctx context.Context, addr netip.Addr, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		limit, cancel := context.WithTimeout(ctx, max(every, aliveSlack))
		_, err := a.ping(limit, addr)
		cancel()
		if ctx.Err() != nil {
			return
		}
		a.note(addr, every, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// note remembers the outcome of one ping. The log is told of changes.
func (a *aliveChecks) note(addr netip.Addr, every time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.last[addr]
	switch {
	case err == nil:
		if s.failed {
			a.log.Info("an address of CheckAlive answers again", "addr", addr)
		}
		s.answered, s.failed = time.Now(), false
	case !s.failed && s.late(every):
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("no answer to pings")
		}
		a.log.Warn("an address of CheckAlive does not answer", "addr", addr, "err", err)
		s.failed = true
	}
	a.last[addr] = s
}

// late reports whether an answer is overdue: one ping may get lost.
func (s *aliveState) late(every time.Duration) bool {
	since := s.answered
	if since.IsZero() {
		since = s.began
	}
	return time.Since(since) >= 2*every+aliveSlack
}

// notReady returns the addresses that do not answer, and those that have not yet.
func (a *aliveChecks) notReady() (out []web.NotReady) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for addr, s := range a.last {
		switch {
		case s.answered.IsZero():
			out = append(out, web.NotReady{Name: addr.String(), Reason: "no answer to a ping yet"})
		case s.late(a.interval):
			ago := time.Since(s.answered).Round(time.Second)
			out = append(out, web.NotReady{Name: addr.String(), Reason: fmt.Sprintf("last answer to a ping %v ago", ago)})
		}
	}
	slices.SortFunc(out, func(x, y web.NotReady) int {
		return netip.MustParseAddr(x.Name).Compare(netip.MustParseAddr(y.Name))
	})
	return out
}

// close ends the checks.
func (a *aliveChecks) close() {
	if a.cancel == nil {
		return
	}
	a.cancel()
	a.running.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cancel, a.last, a.addrs = nil, nil, nil
}
