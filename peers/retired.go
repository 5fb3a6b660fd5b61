// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"maps"
	"slices"
	"sync"

	"github.com/tunrouter/tunrouter/batching"
)

// ledger keeps what all sockets of a Bind have dropped, those that are closed included,
// and the queues of its underlays. The mutex may be taken under that of life.
type ledger struct {
	mu   sync.Mutex
	live []entry
	sums SocketTotals // of those that are closed
}

// An entry is a socket, and what it had dropped before it became one of the Bind's.
type entry struct {
	socket
	before *SocketTotals // nil: nothing
}

// SocketTotals are the drops of all sockets that a [Bind] has had, and of underlays
// while they were its own: unlike those of the open ones they only grow.
type SocketTotals struct {
	// Dropped counts what was received and not handed on, by reason, with overflow:
	// packets that found the receive buffer full.
	Dropped map[string]uint64
	// Lost counts packets that were held back to leave with others and could not be
	// sent when their time came.
	Lost uint64
	// Busy counts packets that a network device was too busy for, past the kernel.
	Busy uint64
}

func newTotals() *SocketTotals { return &SocketTotals{Dropped: make(map[string]uint64)} }

func (t *SocketTotals) add(s socket) {
	c, ok := s.(interface{ Stats() batching.Stats })
	if !ok {
		return
	}
	st := c.Stats()
	for reason, n := range st.Rx.Dropped {
		t.Dropped[reason] += n
	}
	t.Dropped["overflow"] += st.Rx.Overflow
	t.Lost += st.Queue.Lost
	t.Busy += st.Tx.Dropped["device"]
}

// count adds what the socket of e has dropped as one of the Bind's.
func (t *SocketTotals) count(e entry) {
	t.add(e.socket)
	if e.before == nil {
		return
	}
	for reason, n := range e.before.Dropped {
		t.Dropped[reason] -= n
	}
	t.Lost -= e.before.Lost
	t.Busy -= e.before.Busy
}

func (l *ledger) indexLocked(s socket) int {
	return slices.IndexFunc(l.live, func(e entry) bool { return e.socket == s })
}

// opened enters sockets that are not known yet.
func (l *ledger) opened(all []socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range all {
		if l.indexLocked(s) < 0 {
			l.live = append(l.live, entry{socket: s})
		}
	}
}

// joined enters the queues of an underlay, which somebody else has opened, and which
// may have been the Bind's before.
func (l *ledger) joined(all []socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range all {
		before := newTotals()
		before.add(s)
		l.live = append(l.live, entry{s, before})
	}
}

// closing keeps what a socket has counted. It is called before it is closed, as the
// kernel tells no more after that.
func (l *ledger) closing(s socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.indexLocked(s)
	if i < 0 {
		return
	}
	e := l.live[i]
	l.live = slices.Delete(l.live, i, i+1)
	if l.sums.Dropped == nil {
		l.sums.Dropped = make(map[string]uint64)
	}
	l.sums.count(e)
}

// totals adds up all sockets.
func (l *ledger) totals() SocketTotals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := newTotals()
	maps.Copy(t.Dropped, l.sums.Dropped)
	t.Lost, t.Busy = l.sums.Lost, l.sums.Busy
	for _, e := range l.live {
		t.count(e)
	}
	return *t
}

// opened returns all that are open, those that left and are not read to their end
// included.
func (g *groups) opened() (all []socket) {
	for _, f := range g.families {
		all = append(all, f.open...)
	}
	return all
}
