// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
)

// maxLanes is how many remote addresses packets wait for at a time. Each may hold
// 64 KiB, all together 16 MiB.
const maxLanes = 256

// A flushFunc sends packets as [Conn.WriteBatch] does.
type flushFunc func(bufs [][]byte, offset int, dst *Destination, vni geneve.VNI) (n int, err error)

// coalescerOptions are the settings of a coalescer.
type coalescerOptions struct {
	// maxSegments is the most packets in one run, 1 to 64. With 1 nothing waits.
	maxSegments int
	// maxBytes is the most bytes in one run, Geneve headers included.
	maxBytes int
	// timeout is how long a packet waits for others at most. 0 is off: nothing
	// waits, and runs are left to the flush function.
	timeout time.Duration
}

// A coalescer gathers packets that callers send one by one into runs (see the
// package comment), one for each remote address at a time, and sends each run
// with one call of the flush function. It sends a run when it is complete: full,
// ended by a smaller packet, or followed by one that does not fit in; and at the
// latest when the timeout has passed since the first packet of it.
//
// Packets that are complete within one call of queue are sent from the caller's
// memory; only what waits is copied. All methods are safe for concurrent use. The
// order of packets to one remote address is kept, whatever their source and VNI.
// Packets to different ones do not wait for each other, but for this: when
// [maxLanes] are taken, a new remote address gets the lane that waits longest,
// after that one was flushed.
//
// A coalescer has no goroutines but those of timers that have fired, and close
// waits for them.
type coalescer struct {
	send flushFunc // immutable after newCoalescer

	changing sync.Mutex // held by the set or close whose turn it is
	// plan is stored with changing held. Whoever adds to a lane loads it with the
	// lane locked, so that set and close, which store it first and lock every lane
	// then, leave nothing behind that follows an older one.
	plan atomic.Pointer[coalescePlan]

	// mu guards what follows. It is taken with a lane locked; no lane is waited
	// for while it is held.
	mu       sync.RWMutex
	byRemote map[netip.AddrPort]*lane
	lanes    []*lane // the same, for looking at all of them in order

	timers sync.WaitGroup // timers that are set, and their functions that run
	runs   atomic.Uint64  // runs that had to wait, which puts them in order
	counts coalescerCounts
}

// A coalescePlan is a set of options in force. Immutable but for the pool.
type coalescePlan struct {
	coalescerOptions
	closed bool
	slabs  sync.Pool // of *slab
}

func newCoalescePlan(o coalescerOptions) *coalescePlan {
	o.maxSegments = min(max(o.maxSegments, 1), maxSegments)
	p := &coalescePlan{coalescerOptions: o}
	p.slabs.New = func() any { return new(slab) }
	return p
}

// waits reports whether packets may wait.
func (p *coalescePlan) waits() bool { return p.timeout > 0 && !p.closed }

// newCoalescer returns a coalescer that sends with flush, which keeps nothing of
// what it is given. It is called for several remote addresses at once, and must
// not call queue for the one it is called for.
func newCoalescer(flush flushFunc, o coalescerOptions) *coalescer {
	q := &coalescer{send: flush, byRemote: make(map[netip.AddrPort]*lane)}
	q.plan.Store(newCoalescePlan(o))
	return q
}

// queue takes the packets bufs[i][offset:] for dst; arguments and their ownership
// are those of [Conn.WriteBatch]. An empty packet and one larger than a run may be
// are sent at once and alone.
//
// n is the number of packets taken: sent, or copied to be sent later. When it is
// less than len(bufs), err says why, as for WriteBatch: bufs[n:] were not tried,
// or, after EMSGSIZE, n does not count those that are too long.
//
// Packets taken by earlier calls are not in n. When they cannot be sent they are
// lost and counted, and the call that finds out goes on. If nothing else fails,
// that error is returned, with n = len(bufs): by the call that sent them, or,
// when the timer did, by the next call with the same remote, local address and
// VNI. A local address that is refused is noticed this way.
func (q *coalescer) queue(bufs [][]byte, offset int, dst *Destination, vni geneve.VNI) (n int, err error) {
	if len(bufs) == 0 {
		return 0, nil
	}
	l, p := q.lane(dst.remote)
	switch {
	case l != nil:
		defer l.mu.Unlock()
		return l.queue(p, bufs, offset, dst, vni)
	case p.closed:
		return 0, net.ErrClosed
	default:
		return q.send(bufs, offset, dst, vni)
	}
}

// flushAll sends everything that waits, and returns the first error.
func (q *coalescer) flushAll() error { return q.sweep(flushOptions, false) }

// set changes the options. What waits is sent first, and the first error of that
// returned; the options are in force all the same. After close it is
// [net.ErrClosed].
func (q *coalescer) set(o coalescerOptions) error {
	q.changing.Lock()
	defer q.changing.Unlock()
	if q.plan.Load().closed {
		return net.ErrClosed
	}
	p := newCoalescePlan(o)
	q.plan.Store(p)
	return q.sweep(flushOptions, !p.waits())
}

// close sends what waits and returns the first error. When it returns, the flush
// function is not called any more and no timer is left. Later calls of queue
// return [net.ErrClosed]; closing again does nothing.
func (q *coalescer) close() error {
	q.changing.Lock()
	defer q.changing.Unlock()
	q.plan.Store(&coalescePlan{closed: true})
	err := q.sweep(flushClose, true)
	q.timers.Wait()
	return err
}

// sweep flushes all lanes. With remove, which needs a plan that lets nothing wait,
// it removes them too.
func (q *coalescer) sweep(reason flushReason, remove bool) (err error) {
	q.mu.RLock()
	lanes := slices.Clone(q.lanes)
	q.mu.RUnlock()
	for _, l := range lanes {
		l.mu.Lock()
		_, flushErr := l.flush(reason)
		if err == nil {
			err = flushErr
		}
		if remove {
			q.mu.Lock()
			delete(q.byRemote, l.remote)
			q.mu.Unlock()
			l.gone = true
		}
		l.mu.Unlock()
	}
	if remove {
		q.mu.Lock()
		q.lanes = nil // none was added meanwhile
		q.mu.Unlock()
	}
	return err
}

// lane returns the lane of remote, locked, and the plan. The lane is nil when the
// plan lets nothing wait and nothing does.
func (q *coalescer) lane(remote netip.AddrPort) (*lane, *coalescePlan) {
	for {
		q.mu.RLock()
		l := q.byRemote[remote]
		q.mu.RUnlock()
		if l == nil {
			var p *coalescePlan
			if l, p = q.newLane(remote); l != nil || !p.waits() {
				return l, p
			}
			continue
		}
		l.mu.Lock()
		if l.remote == remote && !l.gone {
			p := q.plan.Load()
			if !p.closed {
				return l, p
			}
			l.mu.Unlock() // close flushes it
			return nil, p
		}
		l.mu.Unlock()
	}
}

// newLane makes a lane for remote, and returns it locked. When it returns none and
// the plan lets packets wait, things have changed: look again.
func (q *coalescer) newLane(remote netip.AddrPort) (*lane, *coalescePlan) {
	q.mu.Lock()
	p := q.plan.Load()
	if !p.waits() || q.byRemote[remote] != nil {
		q.mu.Unlock()
		return nil, p
	}
	if len(q.lanes) < maxLanes {
		defer q.mu.Unlock()
		l := &lane{coalescer: q, remote: remote}
		l.mu.Lock()
		q.lanes = append(q.lanes, l)
		q.byRemote[remote] = l
		return l, p
	}
	l := q.longest()
	if l == nil {
		// All are being sent; the first will do.
		l = q.lanes[0]
		q.mu.Unlock()
		l.mu.Lock()
	} else {
		q.mu.Unlock()
	}
	// The remote address that had the lane finds it there until all is sent.
	_, _ = l.flush(flushEvicted) // counted as lost
	q.mu.Lock()
	defer q.mu.Unlock()
	p = q.plan.Load()
	if !p.waits() || q.byRemote[remote] != nil || l.gone {
		l.mu.Unlock()
		return nil, p
	}
	delete(q.byRemote, l.remote)
	l.remote, l.dst, l.late = remote, nil, nil
	q.byRemote[remote] = l
	return l, p
}

// longest returns a lane in which nothing waits, or else the one that waits
// longest, locked. It passes over those that are locked, and returns nil when all
// are. The caller holds mu.
func (q *coalescer) longest() (found *lane) {
	var least uint64
	for _, l := range q.lanes {
		since := l.since.Load()
		if found != nil && since >= least || !l.mu.TryLock() {
			continue
		}
		if found != nil {
			found.mu.Unlock()
		}
		if found, least = l, since; since == 0 {
			break
		}
	}
	return found
}
