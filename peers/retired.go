// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"maps"
	"slices"
	"sync"

	"github.com/tunrouter/tunrouter/batching"
)

// ledger keeps what all sockets of a Bind have dropped, those that are closed included.
// The mutex may be taken under that of life.
type ledger struct {
	mu   sync.Mutex
	live []socket
	sums SocketTotals // of those that are closed
}

// SocketTotals are the drops of all sockets that a [Bind] has had: unlike those of
// the open ones they only grow.
type SocketTotals struct {
	// Dropped counts what was received and not handed on, by reason, with overflow:
	// packets that found the receive buffer full.
	Dropped map[string]uint64
	// Lost counts packets that were held back to leave with others and could not be
	// sent when their time came.
	Lost uint64
}

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
}

// opened enters sockets that are not known yet.
func (l *ledger) opened(all []socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range all {
		if !slices.Contains(l.live, s) {
			l.live = append(l.live, s)
		}
	}
}

// closing keeps what a socket has counted. It is called before it is closed, as the
// kernel tells no more after that.
func (l *ledger) closing(s socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.live, s)
	if i < 0 {
		return
	}
	l.live = slices.Delete(l.live, i, i+1)
	if l.sums.Dropped == nil {
		l.sums.Dropped = make(map[string]uint64)
	}
	l.sums.add(s)
}

// totals adds up all sockets.
func (l *ledger) totals() SocketTotals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := SocketTotals{Dropped: make(map[string]uint64), Lost: l.sums.Lost}
	maps.Copy(t.Dropped, l.sums.Dropped)
	for _, s := range l.live {
		t.add(s)
	}
	return t
}

// opened returns all that are open, those that left and are not read to their end
// included.
func (g *groups) opened() (all []socket) {
	for _, f := range g.families {
		all = append(all, f.open...)
	}
	return all
}
