// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"os"

	"github.com/tailscale/wireguard-go/tun"
)

// A queue is one read queue of a [Device].
type queue struct {
	dev      *Device
	inner    tun.Queue
	kernel   *kernelReader // nil: inner reads
	plain    string        // why kernel is nil
	counters readCounters
}

var _ tun.Queue = (*queue)(nil)

func (d *Device) newQueue(inner tun.Queue, plain bool) *queue {
	q := &queue{dev: d, inner: inner}
	if plain {
		q.plain = "switched off"
		return q
	}
	kernel, err := newKernelReader(inner.File(), &d.closed)
	if err != nil {
		q.plain = err.Error()
		return q
	}
	q.kernel = kernel
	return q
}

// File implements [tun.Queue].
func (q *queue) File() *os.File { return q.inner.File() }

// Read implements [tun.Reader]: it waits for a packet and returns it together
// with all that are waiting behind it, as far as slab and packets reach. What
// does not fit is returned by the next call. The bytes of slab are the caller's
// again when Read returns; nothing of it is kept.
func (q *queue) Read(slab []byte, packets []tun.ReadPacket) (n int, err error) {
	if q.dev.closed.Load() {
		return 0, os.ErrClosed
	}
	if q.kernel != nil {
		n, err = q.kernel.read(slab, packets)
		q.counters.add(&q.kernel.drain.tally)
	} else {
		n, err = q.inner.Read(slab, packets)
		err = q.innerError(err)
	}
	if n > 0 {
		bytes := 0
		for _, p := range packets[:n] {
			bytes += p.Size
		}
		q.counters.batch(n, bytes)
	}
	return n, err
}

// innerError returns what an error of the wrapped queue's Read means.
func (q *queue) innerError(err error) error {
	switch {
	case err == nil:
	case errors.Is(err, tun.ErrTooManySegments):
		q.counters.oversized.Add(1)
	case q.dev.closed.Load() || gone(q.inner.File()):
		return os.ErrClosed
	}
	return err
}
