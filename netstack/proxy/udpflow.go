// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultFlows and defaultFlowsPerClient bound the UDP flows of a service
	// whose options name no limit. An idle flow with a socket of the host costs
	// a descriptor and a goroutine, about 10 KiB with the kernel's part.
	defaultFlows          = 8192
	defaultFlowsPerClient = 1024

	// defaultInactivity is how long a flow may be silent (RFC 4787 REQ-5 wants
	// 120 s at least), defaultInactivityDNS one to port 53, where an answer comes
	// at once or never.
	defaultInactivity    = 120 * time.Second
	defaultInactivityDNS = 30 * time.Second

	// lookBack is how many flows are looked at for one to evict.
	lookBack = 8
)

// inactivity returns how long a flow to the port may be silent: o, or the
// default for 0; 0 means for ever.
func inactivity(o time.Duration, port uint16) time.Duration {
	switch {
	case o < 0:
		return 0
	case o > 0:
		return o
	case port == 53:
		return defaultInactivityDNS
	}
	return defaultInactivity
}

// A flowTable has the flows of a service by their key. It ends those that are
// silent, and the least recently used one when there are too many: one of the
// same client if it has any, so that who opens many loses his own.
//
// One clock reading serves a batch of datagrams, and one timer all flows. All
// methods may be called by any number of goroutines.
type flowTable[K comparable, V any] struct {
	// Immutable.
	total, perClient int
	now              func() time.Duration // since some moment
	end              func(f *flow[K, V])  // called once for each flow that add returned, without a lock held
	idle, evicted    atomic.Uint64        // flows that ended because of silence, and for others

	wake chan struct{} // has a token when soonest has changed

	mu      sync.Mutex // guards below
	closed  bool
	flows   map[K]*flow[K, V]
	clients map[any]*list.List // flows of each client, most recently used first
	all     list.List          // likewise of all clients
	soonest time.Duration      // the shortest silence that ends a flow; 0: none ends
}

// A flow is an entry of a flowTable.
type flow[K comparable, V any] struct {
	// Immutable.
	key    K
	client any // nil: counted in the total only
	value  V
	silent time.Duration // how long it may be silent; 0: for ever

	seen atomic.Int64 // when a datagram moved last, in either direction

	// Guarded by the table's mu.
	moved  time.Duration // when it was moved to the front
	inAll  *list.Element // nil when it is no longer in the table
	inSame *list.Element // nil without a client
}

// newFlowTable returns a table with the defaults in the place of zeros.
func newFlowTable[K comparable, V any](l Limits, end func(f *flow[K, V])) *flowTable[K, V] {
	start := time.Now()
	t := &flowTable[K, V]{
		total:     cmp.Or(l.Total, defaultFlows),
		perClient: cmp.Or(l.PerClient, defaultFlowsPerClient),
		now:       func() time.Duration { return time.Since(start) },
		end:       end,
		wake:      make(chan struct{}, 1),
		flows:     make(map[K]*flow[K, V]),
		clients:   make(map[any]*list.List),
	}
	t.all.Init()
	return t
}

// get returns the flow of k, which was used now, or nil.
func (t *flowTable[K, V]) get(k K, now time.Duration) *flow[K, V] {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.flows[k]
	if f != nil {
		t.touchLocked(f, now)
	}
	return f
}

func (t *flowTable[K, V]) touchLocked(f *flow[K, V], now time.Duration) {
	f.seen.Store(int64(now))
	f.moved = now
	t.all.MoveToFront(f.inAll)
	if f.inSame != nil {
		t.clients[f.client].MoveToFront(f.inSame)
	}
}

// add puts a flow of client with the value that value returns into the table,
// where another one may have to go for it. client is nil for those that count in
// the total only. If there is one already it is returned, and made is false. It
// returns nil when the table is closed, or full of flows of others that nothing
// may end.
func (t *flowTable[K, V]) add(k K, client any, silent, now time.Duration, value func() V) (f *flow[K, V], made bool) {
	t.mu.Lock()
	if f := t.flows[k]; f != nil || t.closed {
		t.mu.Unlock()
		return f, false
	}
	gone := t.makeRoomLocked(client)
	f = &flow[K, V]{key: k, client: client, value: value(), silent: silent}
	f.inAll = t.all.PushFront(f)
	if client != nil {
		same := t.clients[client]
		if same == nil {
			same = list.New()
			t.clients[client] = same
		}
		f.inSame = same.PushFront(f)
	}
	t.flows[k] = f
	t.touchLocked(f, now)
	if silent > 0 && (t.soonest == 0 || silent < t.soonest) {
		t.soonest = silent
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	t.mu.Unlock()
	if gone != nil {
		t.evicted.Add(1)
		t.end(gone)
	}
	return f, true
}

// makeRoomLocked takes a flow out of the table if it has no room for another of
// client, and returns it.
func (t *flowTable[K, V]) makeRoomLocked(client any) *flow[K, V] {
	same := t.clients[client] // none for nil
	full := t.total > 0 && len(t.flows) >= t.total
	switch {
	case same != nil && (full || t.perClient > 0 && same.Len() >= t.perClient):
		return t.evictLocked(same)
	case full:
		return t.evictLocked(&t.all)
	}
	return nil
}

// evictLocked takes the least recently used flow of l out of the table. Flows
// move to the front when something comes from the client; those that got
// something since are given a second chance here.
func (t *flowTable[K, V]) evictLocked(l *list.List) *flow[K, V] {
	for range lookBack {
		f := l.Back().Value.(*flow[K, V])
		seen := time.Duration(f.seen.Load())
		if seen <= f.moved {
			break
		}
		t.touchLocked(f, seen)
	}
	f := l.Back().Value.(*flow[K, V])
	t.removeLocked(f)
	return f
}

func (t *flowTable[K, V]) removeLocked(f *flow[K, V]) {
	delete(t.flows, f.key)
	t.all.Remove(f.inAll)
	f.inAll = nil
	if f.inSame == nil {
		return
	}
	same := t.clients[f.client]
	same.Remove(f.inSame)
	f.inSame = nil
	if same.Len() == 0 {
		delete(t.clients, f.client)
	}
}

// remove ends f, unless it has ended already.
func (t *flowTable[K, V]) remove(f *flow[K, V]) {
	t.mu.Lock()
	in := f.inAll != nil
	if in {
		t.removeLocked(f)
	}
	t.mu.Unlock()
	if in {
		t.end(f)
	}
}

// removeAll ends the flows for which which returns true.
func (t *flowTable[K, V]) removeAll(which func(f *flow[K, V]) bool) (n int) {
	t.mu.Lock()
	var gone []*flow[K, V]
	for _, f := range t.flows {
		if which(f) {
			gone = append(gone, f)
		}
	}
	for _, f := range gone {
		t.removeLocked(f)
	}
	t.mu.Unlock()
	for _, f := range gone {
		t.end(f)
	}
	return len(gone)
}

// sweep ends the flows that have been silent for too long.
func (t *flowTable[K, V]) sweep() {
	now := t.now()
	n := t.removeAll(func(f *flow[K, V]) bool {
		return f.silent > 0 && now-time.Duration(f.seen.Load()) >= f.silent
	})
	t.idle.Add(uint64(n))
}

// run ends silent flows until ctx does, and all others then. A flow ends after
// 1 to 1.25 times the silence it is allowed.
func (t *flowTable[K, V]) run(ctx context.Context) {
	defer t.close()
	const tick, slowest = time.Millisecond, 5 * time.Second
	timer := time.NewTimer(slowest)
	defer timer.Stop()
	for {
		t.mu.Lock()
		pause := slowest
		if t.soonest > 0 {
			pause = min(max(t.soonest/4, tick), slowest)
		}
		t.mu.Unlock()
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-timer.C:
			t.sweep()
		}
	}
}

// close ends all flows; there will be no others.
func (t *flowTable[K, V]) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.removeAll(func(*flow[K, V]) bool { return true })
}

// len returns the number of flows.
func (t *flowTable[K, V]) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.flows)
}

// fill completes s with what the table counts.
func (t *flowTable[K, V]) fill(s *Stats) {
	s.Active = t.len()
	s.Idle = t.idle.Load()
	s.Refused += t.evicted.Load()
}
