// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"

	"github.com/tunrouter/tunrouter/netstack/proxy"
)

// A service is what package proxy makes of a section.
type service interface {
	Run(ctx context.Context) error
	Close() error
	Stats() proxy.Stats
}

// addressed is a service that listens.
type addressed interface{ Addr() net.Addr }

// A wantedService is a section of the configuration that asks for a service.
type wantedService struct {
	section string // its name, without brackets
	line    int    // where it begins; 0: not from a file
	key     any    // its value without the line: equal keys are the same service
	listen  string // where it listens, "" for nowhere
	target  string // where its flows go, "" when they say so themselves
	place   string // what only one service at a time can have, "" for nothing
	last    bool   // the router ends when the service does
	open    func() (service, error)
}

// name is what a service is called in messages.
func (w *wantedService) name() string {
	switch {
	case w.listen != "" && w.line != 0:
		return fmt.Sprintf("[%s] of line %d on %s", w.section, w.line, w.listen)
	case w.listen != "":
		return fmt.Sprintf("[%s] on %s", w.section, w.listen)
	case w.line != 0:
		return fmt.Sprintf("[%s] of line %d", w.section, w.line)
	}
	return fmt.Sprintf("[%s]", w.section)
}

// remedy is what helps against an error of a listener, to be put behind it.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; choose another port, or end the program that has it (ss -lntup shows it)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; it is no address of this host, choose one that ip address shows"
	case errors.Is(err, syscall.EACCES):
		return "; ports below 1024 are for root, choose another"
	}
	return ""
}

// A runningService is open, and runs once run was called.
type runningService struct {
	wantedService
	service
	closed bool
	wg     sync.WaitGroup // its Run
}

// address is where r listens, with the port that the system chose.
func (r *runningService) address() string {
	if l, ok := r.service.(addressed); ok && r.listen != "" {
		return l.Addr().String()
	}
	return r.listen
}

// services are the proxies, forwards and the subnet router that there are. All methods
// are safe for concurrent use; update and close are called one at a time.
type services struct {
	log  *slog.Logger
	over chan struct{} // closed when a service that is the last has ended

	mu      sync.Mutex // guards below
	list    []*runningService
	ctx     context.Context // of run; nil before
	endOnce sync.Once
	err     error // of the service that was the last
}

func newServices(log *slog.Logger) *services {
	return &services{log: log, over: make(chan struct{})}
}

// update makes what runs what is wanted. Services that are wanted as they are go on
// with all their flows; the flows of those that are not are cut. When something cannot
// be opened, the others stay as they were, but for those that were in its place.
func (s *services) update(wanted []wantedService) error {
	s.mu.Lock()
	gone := slices.Clone(s.list)
	s.mu.Unlock()

	var kept []*runningService
	var fresh []wantedService
	for _, w := range wanted {
		i := slices.IndexFunc(gone, func(r *runningService) bool { return r.section == w.section && r.key == w.key })
		if i < 0 {
			fresh = append(fresh, w)
			continue
		}
		kept = append(kept, gone[i])
		gone = slices.Delete(gone, i, i+1)
	}
	for _, w := range fresh {
		for _, r := range gone {
			if w.place != "" && w.place == r.place {
				s.end(r) // it is in the way
			}
		}
	}
	var opened []*runningService
	for _, w := range fresh {
		svc, err := w.open()
		if err != nil {
			for _, r := range opened {
				s.end(r)
			}
			s.set(slices.DeleteFunc(append(kept, gone...), func(r *runningService) bool { return r.closed }))
			return fmt.Errorf("%s: %w%s", w.name(), err, remedy(err))
		}
		opened = append(opened, &runningService{wantedService: w, service: svc})
	}
	for _, r := range gone {
		s.end(r)
	}
	s.set(append(kept, opened...))
	return nil
}

// set makes list what there is, and starts what does not run yet.
func (s *services) set(list []*runningService) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := slices.DeleteFunc(slices.Clone(list), func(r *runningService) bool { return slices.Contains(s.list, r) })
	s.list = list
	if s.ctx != nil {
		for _, r := range fresh {
			s.startLocked(r)
		}
	}
}

// end closes a service and waits for it.
func (s *services) end(r *runningService) {
	if r.closed {
		return
	}
	r.closed = true
	if err := r.Close(); err != nil {
		s.log.Warn("service not closed cleanly", "service", r.name(), "err", err)
	}
	r.wg.Wait()
}

// startLocked runs r until it is closed or the context of run ends.
func (s *services) startLocked(r *runningService) {
	ctx := s.ctx
	r.wg.Go(func() {
		err := r.Run(ctx)
		if r.last {
			s.endOnce.Do(func() {
				s.err = err
				close(s.over)
			})
			return
		}
		if err != nil {
			s.log.Error("service ended", "service", r.name(), "err", err)
		}
	})
}

// run starts what there is and what comes later, which ends with ctx. It returns
// when ctx has ended, or earlier, with its error, when a service that is the last has
// ended. close waits for the others.
func (s *services) run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for _, r := range s.list {
		s.startLocked(r)
	}
	s.mu.Unlock()
	select {
	case <-s.over:
		return s.err
	case <-ctx.Done():
		return nil
	}
}

// close ends all services and waits for them.
func (s *services) close() error {
	return s.update(nil)
}

// each calls f for each service.
func (s *services) each(f func(*runningService)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.list {
		f(r)
	}
}
