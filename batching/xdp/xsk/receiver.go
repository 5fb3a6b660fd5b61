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
		index, ok := r.pool.take(placeKernel)
		if !ok {
			break
		}
		r.fill.put(n, uint64(index)*uint64(r.pool.mem.frameSize))
		n++
	}
	r.fill.publish(n)
}

// receive borrows received frames, as many as there are and fit.
func (r *receiver) receive(frames []Frame) int {
	size := uint64(r.pool.mem.frameSize)
	ready := r.rx.ready(uint32(min(len(frames), int(r.rx.mask)+1)))
	n, bytes, seen := 0, uint64(0), uint32(0)
	for ; seen < ready && n < len(frames); seen++ {
		d := r.rx.get(seen)
		index, start := d.addr/size, d.addr%size
		if index > uint64(^uint32(0)) || start+uint64(d.len) > size || !r.pool.move(uint32(index), placeKernel, placeBorrowed) {
			r.count.rxBad.Add(1)
			continue
		}
		frames[n] = r.pool.lend(uint32(index), int(start), int(d.len))
		bytes += uint64(d.len)
		n++
	}
	if seen > 0 {
		r.pool.mem.hold(int64(n))
		r.rx.consumed(seen)
		r.count.rxPackets.Add(uint64(n))
		r.count.rxBytes.Add(bytes)
	}
	return n
}

// release hands borrowed frames to the kernel to receive into, up to the first
// that is not one.
func (r *receiver) release(frames []Frame) (n int, err error) {
	size := uint64(r.pool.mem.frameSize)
	put := uint32(0)
	for i := range frames {
		if err = r.pool.giveBack(&frames[i], placeKernel); err != nil {
			break
		}
		if !r.closed {
			// The ring has a place for each frame of the pool.
			r.fill.put(put, uint64(frames[i].index)*size)
		}
		put++
	}
	if put > 0 && !r.closed {
		r.fill.publish(put)
	}
	return int(put), err
}
