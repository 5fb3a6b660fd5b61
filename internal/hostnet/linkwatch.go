// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// linkPollEvery is how often a LinkWatch looks by itself.
	linkPollEvery = 15 * time.Second
	// linkPollAtMost is how old the counters may be that Latest returns. Asking takes
	// the lock that all changes to interfaces of the host take.
	linkPollAtMost = time.Second
)

// A LinkWatch knows the counters of one interface. It follows the interface by its
// index, so a new name changes nothing. It stays with the network namespace that it
// was opened in: an interface that is deleted or moved to another namespace is gone,
// and stays gone, also when it comes back.
//
// Its methods may be called by several goroutines.
type LinkWatch struct {
	query linkQuery // asked and closed under asking

	asking sync.Mutex
	closed bool // guarded by asking

	mu     sync.Mutex
	latest *LinkStatistics // nil: not known now
	when   time.Time       // of the last answer, whatever it was
	gone   bool
}

// A linkQuery asks the kernel.
type linkQuery interface {
	ask() (*LinkStatistics, error)
	close()
}

// NewLinkWatch watches the interface with the given index in the network namespace
// of the calling thread. The error wraps [ErrLinkGone] when there is none, and
// errors.ErrUnsupported where the kernel does not tell (before Linux 4.7, and on
// other systems). The caller closes the watch.
func NewLinkWatch(index int) (*LinkWatch, error) {
	q, err := newLinkQuery(index)
	if err != nil {
		return nil, err
	}
	return newLinkWatch(q)
}

// newLinkWatch owns q, also when it fails.
func newLinkWatch(q linkQuery) (*LinkWatch, error) {
	s, err := q.ask()
	if err != nil {
		q.close()
		return nil, fmt.Errorf("watch interface: %w", err)
	}
	return &LinkWatch{query: q, latest: s, when: time.Now()}, nil
}

// Latest returns the counters, at most one second old, and whether they are known.
// They are not when the interface is gone, the watch closed, or the kernel did not
// answer. While another goroutine is asking, they may be older. The caller must not
// change what it is given.
func (w *LinkWatch) Latest() (*LinkStatistics, bool) {
	w.look(linkPollAtMost)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest, w.latest != nil
}

// Gone reports whether the interface has been seen to be gone.
func (w *LinkWatch) Gone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// Run asks every 15 s, until ctx ends or the interface is gone. Without it, nothing
// is known of an interface between the last call of Latest and its end.
func (w *LinkWatch) Run(ctx context.Context) {
	ticker := time.NewTicker(linkPollEvery)
	defer ticker.Stop()
	for !w.Gone() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look(linkPollAtMost)
		}
	}
}

// Close ends the watch. It waits for a question that is being asked.
func (w *LinkWatch) Close() {
	w.asking.Lock()
	defer w.asking.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	w.query.close()
	w.set(nil, nil)
}

// look asks unless the last answer is younger than age, or somebody asks just now.
func (w *LinkWatch) look(age time.Duration) {
	if !w.asking.TryLock() {
		return
	}
	defer w.asking.Unlock()
	w.mu.Lock()
	idle := w.gone || w.closed || time.Since(w.when) < age
	w.mu.Unlock()
	if idle {
		return
	}
	w.set(w.query.ask())
}

func (w *LinkWatch) set(s *LinkStatistics, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latest, w.when = s, time.Now()
	w.gone = w.gone || errors.Is(err, ErrLinkGone)
}
