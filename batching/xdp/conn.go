// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"hash/maphash"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

// A Conn is one queue of an [Underlay], with the contract of [batching.Conn]: what
// it reads are the datagrams that came by way of that queue, of both families. It
// exists as long as the Underlay, also while the queue has no socket.
type Conn struct {
	queue int
	under *shared

	// lane is where packets are sent, if need be by another queue; nil while there is
	// none.
	lane atomic.Pointer[lane]

	// mu guards what the reader waits for. changed is closed and replaced with each
	// change of it.
	mu       sync.Mutex
	changed  chan struct{}
	current  *lane // to read from, until it is read to its end; may be older than lane
	deadline time.Time
	closed   bool
	counted  *lane     // whose counters are not in sums yet
	sums     xsk.Stats // of sockets that are closed

	rx reading
	tx sending
}

// shared is what the Conns of an Underlay have in common.
type shared struct {
	seed   maphash.Seed // of flow labels
	began  time.Time
	port   atomic.Uint32 // 0: not open
	last   atomic.Uint32 // the last port that was not 0: what is in the rings is read to its end
	kernel atomic.Pointer[kernels]
}

// kernels are the kernel's sockets of both families.
type kernels struct {
	v4, v6 []Kernel
	gso    bool // they send segmented messages
}

func newShared() *shared { return &shared{seed: maphash.MakeSeed(), began: time.Now()} }

func newConn(queue int, under *shared) *Conn {
	c := &Conn{queue: queue, under: under, changed: make(chan struct{})}
	c.rx.frames = make([]xsk.Frame, readFrames)
	c.tx.ways = make(map[wayKey]*way)
	return c
}

// LocalAddr returns the port, with an unspecified address.
func (c *Conn) LocalAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(c.under.port.Load()))
}

// SetReadDeadline makes a ReadBatch that waits at the time t, and those called
// after it, return [os.ErrDeadlineExceeded]; packets that were received already
// are returned first. The zero time is never. The error is [net.ErrClosed].
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.deadline = t
	c.applyLocked()
	c.changedLocked()
	return nil
}

// applyLocked gives the deadline to the socket that is read, unless that one has
// one of its own because it leaves.
func (c *Conn) applyLocked() {
	if l := c.current; l != nil && !l.leaving.Load() {
		_ = l.sock.SetReadDeadline(c.deadline) // closed: its reader notices
	}
}

func (c *Conn) changedLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Close makes reads return [net.ErrClosed], and writes too. It does not close the
// queue's socket, which is the Underlay's. Closing again does nothing.
func (c *Conn) Close() error {
	if c.markClosed() {
		c.rx.mu.Lock() // nobody waits any more
		defer c.rx.mu.Unlock()
		c.rx.forget()
	}
	return nil
}

// markClosed wakes the reader. It reports whether the Conn was open.
func (c *Conn) markClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed = true
	c.tx.closed.Store(true)
	if c.current != nil {
		_ = c.current.sock.SetReadDeadline(time.Unix(1, 0))
	}
	c.changedLocked()
	return true
}

// use makes read the lane of the Conn's queue, nil when it has none, and send the
// one that packets leave by: any queue will do for that. Those before were retired.
func (c *Conn) use(read, send *lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.counted = read, read
	c.applyLocked()
	c.changedLocked()
	c.lane.Store(send)
}

// stopSending makes packets go to the kernel's sockets.
func (c *Conn) stopSending() { c.lane.Store(nil) }

// Times of [Conn.retire].
const (
	lingerTime = 50 * time.Millisecond  // what the kernel may still have in its hands
	retireTime = 500 * time.Millisecond // for the reader; there may be none
)

// retire takes the lane away after all that came was read, and closes its socket.
// Nothing is redirected to it any more. Frames that nobody reads in time, which is
// at once while no port is open or the Conn is closed, are counted and lost.
func (c *Conn) retire() {
	c.stopSending()
	wait := retireTime
	c.mu.Lock()
	l := c.current
	if l == nil {
		c.mu.Unlock()
		return
	}
	if c.closed || c.under.port.Load() == 0 {
		wait = 0
	}
	l.leaving.Store(true)
	_ = l.sock.SetReadDeadline(time.Now().Add(lingerTime))
	c.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-l.over:
	case <-t.C:
	}
	c.mu.Lock()
	if c.current == l {
		c.current = nil
		c.changedLocked()
	}
	c.mu.Unlock()
	c.rx.discard(l)
	_ = l.sock.Close() // nothing that could be done about it
	c.mu.Lock()
	st := l.sock.Stats()
	addStats(&c.sums, &st)
	c.counted = nil
	c.mu.Unlock()
}

// ended notes that the reader has read l to its end.
func (c *Conn) ended(l *lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != l {
		return
	}
	c.current = nil
	close(l.over)
}

// await returns the lane to read from, as soon as there is one.
func (c *Conn) await() (*lane, error) {
	for {
		l, changed, wait, err := c.look()
		switch {
		case l != nil: // also after the deadline: what came before it is there
			return l, nil
		case err != nil:
			return nil, err
		}
		pause(changed, wait)
	}
}

// look returns the lane, what to wait for and how long; 0 is forever. After the
// deadline it returns the lane with the error.
func (c *Conn) look() (l *lane, changed <-chan struct{}, wait time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, 0, net.ErrClosed
	}
	if !c.deadline.IsZero() {
		if wait = time.Until(c.deadline); wait <= 0 {
			err = os.ErrDeadlineExceeded
		}
	}
	return c.current, c.changed, wait, err
}

// pause waits for changed, at most as long as wait, where 0 is forever.
func pause(changed <-chan struct{}, wait time.Duration) {
	if wait <= 0 {
		<-changed
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
}
