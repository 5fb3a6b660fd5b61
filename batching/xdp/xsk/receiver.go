// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import "sync"

// A receiver is the receiving direction of a socket, without its system calls.
// The caller holds mu.
type receiver struct {
	mu     sync.Mutex
	closed bool // the rings are gone
	rx     descRing
	fill   addrRing
	pool   *pool
	count  *counters
}

// fillAll hands every free frame to the kernel, which needs no lock before anybody
// else knows the receiver. The fill ring has room for all.
func (r *receiver) fillAll() {
	n := uint32(0)
	for {
		index, ok := r.pool.take()
		if !ok {
			break
		}
		r.fill.put(n, r.pool.addr(index))
		n++
	}
	r.fill.publish(n)
}

// received returns how many frames can be borrowed.
func (r *receiver) received() int {
	if r.closed {
		return 0
	}
	return int(r.rx.ready(r.rx.mask + 1))
}

// receive borrows received frames, as many as there are and fit.
func (r *receiver) receive(frames []Frame) int {
	p := r.pool
	ready := r.rx.ready(uint32(min(len(frames), int(r.rx.mask)+1)))
	ready = uint32(min(int(ready), len(frames)))
	n, bytes := 0, uint64(0)
	for seen := range ready {
		d := r.rx.get(seen)
		start := int(d.addr) & (p.size() - 1)
		i, ok := p.at(d.addr)
		if !ok || p.tags[i]&placeMask != placeKernel || uint64(start)+uint64(d.len) > uint64(p.size()) {
			r.count.rxBad.Add(1)
			continue
		}
		p.lend(&frames[n], i, start, int(d.len))
		bytes += uint64(d.len)
		n++
	}
	if ready > 0 {
		p.lent += n
		p.part.hold(int64(n))
		r.rx.consumed(ready)
		r.count.rxPackets.Add(uint64(n))
		r.count.rxBytes.Add(bytes)
	}
	return n
}

// release hands borrowed frames to the kernel to receive into, up to the first
// that is not one.
func (r *receiver) release(frames []Frame) (n int, err error) {
	p, open := r.pool, !r.closed
	for i := range frames {
		f := &frames[i]
		if !p.has(f) {
			err = p.refuse(f)
			break
		}
		p.giveBack(f, placeKernel)
		if open {
			// The ring has a place for each frame of the pool.
			r.fill.put(uint32(i), p.addr(f.index))
		}
		n++
	}
	if n > 0 && open {
		r.fill.publish(uint32(n))
	}
	p.lent -= n
	return n, err
}
