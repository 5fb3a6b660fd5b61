// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A readDeadline is the read deadline that the caller set, and whether the reader
// is called out of its sleep meanwhile. It changes with mu held, together with the
// deadline of the socket.
type readDeadline struct {
	mu     sync.Mutex
	at     time.Time
	waking atomic.Bool
}

// SetReadDeadline makes a ReadBatch that waits at the time t, and those called
// after it, return [os.ErrDeadlineExceeded]; packets that were received already
// are returned first. The zero time is never. It has no effect on a Conn that has
// left its [Group], which has a deadline of its own. The error is [net.ErrClosed].
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadline.mu.Lock()
	defer c.deadline.mu.Unlock()
	if c.leaving.Load() != nil {
		return nil
	}
	return c.setDeadlineLocked(t)
}

func (c *Conn) setDeadlineLocked(t time.Time) error {
	c.deadline.at = t
	if c.deadline.waking.Load() {
		return nil // the reader sets it
	}
	if c.udp.SetReadDeadline(t) != nil {
		return net.ErrClosed
	}
	return nil
}

// wakeLocked makes a ReadBatch that waits look at waking, which is true until it
// calls wokenLocked.
func (c *Conn) wakeLocked() {
	c.deadline.waking.Store(true)
	_ = c.udp.SetReadDeadline(time.Unix(1, 0)) // closed: nobody waits
}

// wokenLocked ends what wakeLocked began; without that it does nothing.
func (c *Conn) wokenLocked() {
	if c.deadline.waking.Swap(false) {
		_ = c.udp.SetReadDeadline(c.deadline.at)
	}
}

// leave makes c one that has left its group: its ReadBatch goes on for a while,
// and Close calls left.
func (c *Conn) leave(left func()) {
	c.deadline.mu.Lock()
	defer c.deadline.mu.Unlock()
	c.leaving.Store(&left)
	_ = c.setDeadlineLocked(time.Now().Add(lingering)) // closed: it is gone already
}
