// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"net"
)

// Reconfigure makes an open socket as if it had been opened with o, which may be
// nil. What [Conn.Queue] holds back is sent first. The error is a [*FixedError]
// or a [*MarkError], and nothing has changed then, or [net.ErrClosed].
//
// Logger and a negative buffer size are ignored. Switching GRO off waits until a
// ReadBatch finds the socket empty: what is merged already could not be split any
// more, and none is lost. Everything else is in force for all calls that begin afterwards.
func (c *Conn) Reconfigure(o *Options) error {
	var next Options
	if o != nil {
		next = *o
	}
	next.Logger = c.log
	next = next.withDefaults()
	c.settings.Lock()
	defer c.settings.Unlock()
	if c.closed.Load() {
		return net.ErrClosed
	}
	if next == c.opts {
		return nil
	}
	if err := c.opts.fixed(&next); err != nil {
		return err
	}
	if q := c.queue.Load(); q != nil {
		_ = q.flushAll() // what is lost is counted
	}
	if err := c.setMarkLocked(next.Mark); err != nil {
		return err
	}
	var f features
	if err := c.raw.Control(func(fd uintptr) { f = offer(int(fd), c.network, &next) }); err != nil {
		return net.ErrClosed
	}
	c.opts = next
	c.adopt(&f)
	c.log.Debug("udp socket changed", "network", c.network, "addr", c.local, "gso", f.gso, "gro", f.gro)
	return nil
}

// adopt puts c.opts and what the kernel made of them into force.
func (c *Conn) adopt(f *features) {
	lim := c.opts.limits(c.is6())
	if !f.gso {
		lim.packets = 1
	}
	lim.sentinel = f.sentinel
	if c.batched {
		c.engine.set(lim, c.opts.GROSlot, f.gro)
	}
	c.features.Store(f)

	// Packets that are held back are bounded as messages are, also where they are
	// sent one by one in the end.
	queue := coalescerOptions{maxSegments: c.opts.MaxSegments, maxBytes: lim.bytes, timeout: c.opts.FlushTimeout}
	if q := c.queue.Load(); q != nil {
		_ = q.set(queue) // nothing waits
	} else if queue.timeout > 0 {
		c.queue.Store(newCoalescer(c.WriteBatch, queue))
	}
}

// SetMark sets the firewall mark of all packets sent from now on; 0 is none. The
// mark that the socket has already needs no privilege. The error is a
// [*MarkError] or, after [Conn.Close], [net.ErrClosed].
func (c *Conn) SetMark(mark uint32) error {
	c.settings.Lock()
	defer c.settings.Unlock()
	if c.closed.Load() {
		return net.ErrClosed
	}
	if q := c.queue.Load(); q != nil && mark != c.opts.Mark {
		_ = q.flushAll()
	}
	return c.setMarkLocked(mark)
}

func (c *Conn) setMarkLocked(mark uint32) error {
	if mark == c.opts.Mark {
		return nil
	}
	var setErr error
	if err := c.raw.Control(func(fd uintptr) { setErr = setMark(int(fd), mark) }); err != nil {
		return net.ErrClosed
	}
	if setErr == nil {
		c.opts.Mark = mark
	}
	return setErr
}
