// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"io"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/waiter"
)

var (
	_ io.ReaderFrom = (*tcpConn)(nil)
	_ io.WriterTo   = (*tcpConn)(nil)
)

// Sizes of what a relay moves at a time. The stack makes one segment of each
// write and joins what is unsent, so that larger moves make fuller
// superpackets. Flows with little to say use the small one.
const (
	smallMove = 16 << 10
	largeMove = 256 << 10
)

// movers are the buffers of all relays of a device while they move something.
type movers struct{ small, large sync.Pool }

func (m *movers) borrow(size int) *[]byte {
	pool := &m.small
	if size > smallMove {
		pool = &m.large
	}
	if b, ok := pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, size)
	return &b
}

func (m *movers) giveBack(b *[]byte) {
	if len(*b) > smallMove {
		m.large.Put(b)
	} else {
		m.small.Put(b)
	}
}

// nextMove returns the size of the move after one of n bytes with size.
func nextMove(size, n int) int {
	switch {
	case n == size:
		return largeMove
	case n <= smallMove/2:
		return smallMove
	}
	return size
}

// WriteTo writes what arrives to w until the peer closes its side, and returns
// how much that was. It holds no buffer while nothing arrives.
func (c *tcpConn) WriteTo(w io.Writer) (int64, error) {
	var total int64
	size := smallMove
	for {
		n, m, err := c.moveTo(w, size)
		total += int64(m)
		if err == io.EOF { //nolint:errorlint // our own, not w's
			return total, nil
		}
		if err != nil {
			return total, err
		}
		size = nextMove(size, n)
	}
}

// moveTo waits until there is something to read, reads up to size bytes and
// writes them to w. It returns how much it read and how much w took.
func (c *tcpConn) moveTo(w io.Writer, size int) (n, m int, err error) {
	if err := c.awaitReadable(); err != nil {
		return 0, 0, err
	}
	pool := &c.net.movers
	buf := pool.borrow(size)
	defer pool.giveBack(buf)
	if n, err = c.Read(*buf); err != nil {
		return n, 0, err
	}
	if m, err = w.Write((*buf)[:n]); err == nil && m < n {
		err = io.ErrShortWrite
	}
	return n, m, err
}

// awaitReadable waits until Read has something to return, be it an error.
func (c *tcpConn) awaitReadable() error {
	c.reading.Lock()
	defer c.reading.Unlock()
	for c.ep.Readiness(waiter.ReadableEvents)&waiter.ReadableEvents == 0 {
		if err := c.check(&c.readBy); err != nil {
			return c.fail("read", "read", err)
		}
		if err := c.wait(c.readable, &c.readBy); err != nil {
			return c.fail("read", "read", err)
		}
	}
	return nil
}

// ReadFrom writes what r has until its end, and returns how much that was. If r
// is a syscall.Conn, ReadFrom waits until its descriptor is readable and then
// calls its Read: such a reader must not have read ahead. It holds no buffer
// meanwhile, nor while the send buffer is full. With another reader it holds one
// as long as Read takes.
func (c *tcpConn) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	raw := rawReader(r)
	size := smallMove
	for {
		n, m, err := c.moveFrom(r, raw, size)
		total += int64(m)
		if err == io.EOF { //nolint:errorlint // as io.Copy
			return total, nil
		}
		if err != nil {
			return total, err
		}
		size = nextMove(size, n)
	}
}

// moveFrom waits until there is room and something to read, reads up to size
// bytes and sends them. It returns how much it read and how much it sent.
//
// The stack could read a socket itself, into the memory of its segments: one
// copy less, but four system calls instead of one, in chunks of 64 KiB, and one
// to ask how much there is, which it must know. That took 5 % less CPU time
// (BenchmarkRelay, medians of 4 interleaved runs, 2 CPUs, 2026-11), and would
// lose what it has read if the connection breaks meanwhile or a Read of r's own,
// which may count or limit, were passed by: not worth it.
func (c *tcpConn) moveFrom(r io.Reader, raw syscall.RawConn, size int) (n, m int, err error) {
	if err := c.awaitWritable(); err != nil {
		return 0, 0, err
	}
	if raw != nil {
		raw.Read(readableNow) //nolint:errcheck // Read fails likewise
	}
	pool := &c.net.movers
	buf := pool.borrow(size)
	defer pool.giveBack(buf)
	n, err = r.Read(*buf)
	if n > 0 {
		var werr error
		if m, werr = c.Write((*buf)[:n]); werr != nil {
			err = werr
		}
	}
	return n, m, err
}

// awaitWritable waits until Write has room or an error to return.
func (c *tcpConn) awaitWritable() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	for c.ep.Readiness(waiter.WritableEvents)&waiter.WritableEvents == 0 {
		if err := c.check(&c.writeBy); err != nil {
			return c.fail("write", "write", err)
		}
		if err := c.wait(c.writable, &c.writeBy); err != nil {
			return c.fail("write", "write", err)
		}
	}
	return nil
}
