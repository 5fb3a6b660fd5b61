// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// noBufferTries bounds how often a message is sent again after ENOBUFS: the
// kernel was out of memory at that moment. The packet is lost after that, as it
// would be in a full queue.
const noBufferTries = 3

// A writer sends with sendmmsg. Calls share nothing but a pool and the limits.
type writer struct {
	// immutable after init
	headers int      // length of the IP and UDP headers
	drop    bool     // what finds the send buffer full
	send    sendFunc // tests replace it
	pool    sync.Pool

	// limits are those of one message, as the options have them. What they point
	// to is immutable.
	limits atomic.Pointer[limits]
	// countsHeaders is set when the kernel refused 64 full segments.
	countsHeaders atomic.Bool
}

// A sendFunc sends b.msgs[first:last] and returns how many the kernel took, at
// least one without an error. With wait it first waits until the send buffer has
// room. Errors of the kernel are bare numbers.
type sendFunc func(b *writeBatch, first, last int, wait bool) (n int, err error)

// A writeBatch is what one WriteBatch works with. It comes from a pool, and goes
// back without a pointer to anything of the caller's.
type writeBatch struct {
	msgs     [MaxBatch]unix.Mmsghdr
	iovs     [MaxBatch + MaxBatch/sentinelWorth]unix.Iovec
	controls [MaxBatch][sys.SendControlSpace]byte
	runs     [MaxBatch]run
	used     int     // how many of iovs, and of msgs at most, hold pointers
	sentinel [1]byte // what sentinels point at

	// arguments and results of the callbacks, which are methods bound once: a
	// closure would be allocated for each call
	first, last int
	n           int
	errno       unix.Errno
	try         func(fd uintptr)
	tryOrWait   func(fd uintptr) (done bool)
}

func (w *writer) init(c *Conn) {
	w.headers = 20 + 8
	if c.is6() {
		w.headers = 40 + 8
	}
	w.drop = c.any
	w.pool.New = func() any { return newWriteBatch() }
	w.send = func(b *writeBatch, first, last int, wait bool) (int, error) {
		b.first, b.last = first, last
		var err error
		if wait {
			// The lock of the poller's write side serializes those that wait.
			err = c.raw.Write(b.tryOrWait)
		} else {
			// Control only keeps the descriptor open: writers enter the kernel
			// in parallel.
			err = c.raw.Control(b.try)
		}
		if err == nil && b.errno != 0 {
			err = b.errno
		}
		return b.n, err
	}
}

func newWriteBatch() *writeBatch {
	b := &writeBatch{sentinel: [1]byte{sentinelByte}}
	b.try = func(fd uintptr) {
		b.n, b.errno = sys.SendMMsg(int(fd), b.msgs[b.first:b.last], unix.MSG_DONTWAIT)
	}
	b.tryOrWait = func(fd uintptr) bool {
		b.try(fd)
		return b.errno != unix.EAGAIN
	}
	return b
}

// release drops all references to what the caller owns.
func (b *writeBatch) release() {
	for i := range b.used {
		b.iovs[i].Base = nil
	}
	for i := range min(b.used, MaxBatch) {
		h := &b.msgs[i].Hdr
		h.Name, h.Control = nil, nil
	}
	b.used = 0
}

func (w *writer) write(c *Conn, bufs [][]byte, from int, dst *Destination, t *tally) (n int, bad txResult) {
	b := w.pool.Get().(*writeBatch)
	for len(bufs) > 0 && (bad.err == nil || bad.err == unix.EMSGSIZE) {
		chunk := bufs[:min(len(bufs), MaxBatch)]
		bufs = bufs[len(chunk):]
		sent, left, err := w.writeChunk(c, b, chunk, from, dst, t)
		n += sent
		if err != nil {
			bad = txResult{"sendmmsg", err}
		}
		if left > 0 {
			t[c.reason(err)] += uint64(left + len(bufs))
		}
	}
	b.release()
	w.pool.Put(b)
	return n, bad
}

// writeChunk sends at most MaxBatch packets. It returns how many the kernel took
// and how many were not tried because of err; packets that are too long are
// neither.
func (w *writer) writeChunk(c *Conn, b *writeBatch, bufs [][]byte, from int, dst *Destination, t *tally) (sent, left int, err error) {
	lim := *w.limits.Load()
	if lim.packets > 1 && !dst.segmented(c.now) {
		lim.packets = 1
	}
	if w.countsHeaders.Load() {
		lim.headers = w.headers
	}
	var (
		refused error // why the packets sent next are sent a second time
		reason  cell
	)
	for done := 0; done < len(bufs); {
		n := b.prepare(bufs[done:], from, lim, dst)
		taken, sendErr := w.flush(b, n, t)
		for _, r := range b.runs[:taken] {
			done += r.packets
			sent += r.packets
			t[cellPackets] += uint64(r.packets)
			t[cellBytes] += uint64(r.bytes)
			if r.sentinel {
				t[txSentinels]++
			}
		}
		if taken > 0 && refused != nil {
			w.learn(c, dst, reason, refused)
		}
		if taken == n {
			break
		}
		// When the second time fails too, the segments were not to blame.
		refused = nil
		failed := b.runs[taken]
		again, ok := refusal(sendErr)
		switch {
		case ok && failed.packets > 1:
			refused, reason = sendErr, again
			if over := failed.bytes + w.headers - maxSegments*failed.size; again == txEINVAL && over > 0 && lim.headers == 0 {
				reason, lim.headers = txSegments, w.headers
			} else {
				lim.packets = 1
			}
			t[reason]++
		case sendErr == unix.EMSGSIZE:
			t[txTooLong]++
			done++
			err = sendErr
		default:
			return sent, len(bufs) - done, sendErr
		}
	}
	return sent, 0, err
}

// refusal returns the counter for an error that the kernel may return because
// a message is segmented (udp_send_skb in net/ipv4/udp.c), and whether it is one.
func refusal(err error) (cell, bool) {
	switch err {
	case unix.EIO:
		return txEIO, true
	case unix.EINVAL:
		return txEINVAL, true
	case unix.EMSGSIZE:
		return txEMSGSIZE, true
	}
	return 0, false
}

// learn takes note that packets got through that were refused before, with the
// same addresses: either the path does not take segments, or the kernel not that
// many.
func (w *writer) learn(c *Conn, dst *Destination, reason cell, refused error) {
	if reason == txSegments {
		w.countsHeaders.Store(true)
		return
	}
	dst.pause(c.now().Add(c.gsoRetry))
	c.log.Debug("udp gso paused for destination", "remote", dst.remote, "err", refused, "for", c.gsoRetry)
}

// prepare makes messages of all packets of bufs, which begin at from and are at
// most MaxBatch, and returns how many.
func (b *writeBatch) prepare(bufs [][]byte, from int, lim limits, dst *Destination) (n int) {
	used := 0
	for next := 0; next < len(bufs); n++ {
		r := nextRun(bufs[next:], from, lim)
		b.runs[n] = r
		iovs, packets := b.iovs[used:][:r.packets], bufs[next:][:r.packets]
		if r.size == 0 {
			iovs[0] = unix.Iovec{} // alone; there is nothing to point at
		} else {
			for i := range iovs {
				buf := packets[i]
				iovs[i].Base = &buf[from]
				iovs[i].SetLen(len(buf) - from)
			}
		}
		next += r.packets
		if r.sentinel {
			iovs = iovs[:r.packets+1]
			iovs[r.packets].Base = &b.sentinel[0]
			iovs[r.packets].SetLen(len(b.sentinel))
		}
		used += len(iovs)

		h := &b.msgs[n].Hdr
		h.Name, h.Namelen = &dst.raw.name[0], uint32(dst.raw.nameLen)
		h.Iov = &iovs[0]
		h.SetIovlen(len(iovs))
		switch {
		case r.packets > 1:
			control := b.controls[n][:dst.raw.controlLen]
			copy(control, dst.raw.control[:])
			sys.SetSegment(control[dst.raw.pktinfoLen:], uint16(r.size))
			h.Control = &control[0]
			h.SetControllen(len(control))
		case dst.raw.pktinfoLen > 0:
			h.Control = &dst.raw.control[0]
			h.SetControllen(int(dst.raw.pktinfoLen))
		default:
			h.Control = nil
			h.SetControllen(0)
		}
	}
	b.used = max(b.used, used)
	return n
}

// flush sends the first n messages of b and returns how many the kernel took;
// fewer than n with the error for the next one.
func (w *writer) flush(b *writeBatch, n int, t *tally) (taken int, err error) {
	var wait bool
	for tries := 0; taken < n; {
		var k int
		k, err = w.send(b, taken, n, wait)
		wait = false
		switch err {
		case nil:
			if k <= 0 {
				return taken, io.ErrNoProgress
			}
			packets := 0
			for _, r := range b.runs[taken : taken+k] {
				packets += r.packets
				t.message(r.packets)
			}
			t.call(packets)
			taken += k
			tries = 0
		case unix.EINTR:
		case unix.EAGAIN:
			if w.drop {
				return taken, err
			}
			wait = true
			t[txWaits]++
		case unix.ENOBUFS:
			if tries++; tries == noBufferTries {
				return taken, err
			}
			runtime.Gosched()
		default:
			return taken, err
		}
	}
	return taken, nil
}
