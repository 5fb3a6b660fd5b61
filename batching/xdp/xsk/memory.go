// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net"
	"sync"
	"sync/atomic"
)

// ErrMemory means that a [Memory] has no part for a socket: its part has an open
// socket or borrowed frames, all parts are of other queues, or it is of another
// interface.
var ErrMemory = errors.New("xsk: no part of the memory")

// MemoryOptions are the options of [NewMemory]. RxFrames, TxFrames and FrameSize are
// for each queue, as in [Options].
type MemoryOptions struct {
	// Queues is how many queues share the memory, 1 to 256; 0 = 1.
	Queues                        int
	RxFrames, TxFrames, FrameSize int
}

// A Memory is a UMEM that sockets of several queues of one interface share
// ([Options].Memory): one mapping, registered with the kernel once. Each queue has
// a part of its own, which is its for good: a queue's frames never pass to another
// one, whose device could still be writing into them. It is unmapped when it, its
// sockets and all borrowed frames are closed or given back, in any order.
type Memory struct {
	data  []byte
	opt   MemoryOptions
	unmap func([]byte) error

	opening sync.Mutex // held while a socket is opened: who registers must be clear

	mu      sync.Mutex // guards what follows, and the parts but for their holders
	parts   []part
	bound   []*Socket // open ones; any of them stands for the registered memory
	ifindex int       // of all sockets; 0 before the first
	closed  bool
	users   int // parts in use, and 1 until Close
}

// A part is the memory of one socket: RxFrames frames and then TxFrames.
type part struct {
	mem     *Memory
	first   uint32       // frame of mem
	holders atomic.Int64 // the socket and each borrowed frame

	queue int // -1: of none yet
	used  bool
	bound bool // the kernel has had it
}

// withDefaults returns a checked copy of o with defaults filled in.
func (o *MemoryOptions) withDefaults() (MemoryOptions, error) {
	var out MemoryOptions
	if o != nil {
		out = *o
	}
	if out.Queues == 0 {
		out.Queues = 1
	}
	if out.Queues < 1 || out.Queues > maxQueues {
		return out, fmt.Errorf("xsk: memory for %d queues, must be 1 to %d", out.Queues, maxQueues)
	}
	one, err := (&Options{RxFrames: out.RxFrames, TxFrames: out.TxFrames, FrameSize: out.FrameSize}).withDefaults()
	if err != nil {
		return out, err
	}
	out.RxFrames, out.TxFrames, out.FrameSize = one.RxFrames, one.TxFrames, one.FrameSize
	n := uint64(out.Queues) * uint64(out.RxFrames+out.TxFrames)
	if n > 2*maxFrames || n*uint64(out.FrameSize) > math.MaxInt {
		return out, fmt.Errorf("xsk: memory of %d frames, must be at most %d and addressable", n, 2*maxFrames)
	}
	return out, nil
}

// size returns the bytes of the memory.
func (o *MemoryOptions) size() int { return o.Queues * (o.RxFrames + o.TxFrames) * o.FrameSize }

// newMemory returns a Memory over data with checked options.
func newMemory(data []byte, o MemoryOptions, unmap func([]byte) error) *Memory {
	m := &Memory{data: data, opt: o, unmap: unmap, users: 1, parts: make([]part, o.Queues)}
	for i := range m.parts {
		p := &m.parts[i]
		p.mem, p.queue, p.first = m, -1, uint32(i*(o.RxFrames+o.TxFrames))
	}
	return m
}

// Options returns the options of the memory, defaults filled in.
func (m *Memory) Options() MemoryOptions { return m.opt }

// Close lets no more sockets use the memory. Those that do go on.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	return m.leaveLocked()
}

// leaveLocked is called by each user once.
func (m *Memory) leaveLocked() error {
	if m.users--; m.users > 0 {
		return nil
	}
	return m.unmap(m.data)
}

// take returns the part of a queue, with one holder.
func (m *Memory) take(ifindex, queue int) (*part, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("xsk: memory: %w", net.ErrClosed)
	}
	if m.ifindex != 0 && m.ifindex != ifindex {
		return nil, fmt.Errorf("%w: it is of interface %d, not %d", ErrMemory, m.ifindex, ifindex)
	}
	var p *part
	for i := range m.parts {
		if q := m.parts[i].queue; q == queue || q < 0 && p == nil {
			p = &m.parts[i]
		}
	}
	switch {
	case p == nil:
		return nil, fmt.Errorf("%w: all %d are of other queues than %d", ErrMemory, len(m.parts), queue)
	case p.used:
		return nil, fmt.Errorf("%w: that of queue %d has an open socket or borrowed frames", ErrMemory, queue)
	}
	p.queue, p.used = queue, true
	p.holders.Store(1)
	m.users++
	return p, nil
}

// lead returns a socket that has the memory registered, or nil.
func (m *Memory) lead() *Socket {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.bound) == 0 {
		return nil
	}
	return m.bound[0]
}

// join says that the socket of p is bound.
func (m *Memory) join(s *Socket, p *part, ifindex int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bound = append(m.bound, s)
	m.ifindex = ifindex
	p.bound = true
}

// leave says that s is about to close. Its descriptor is asked for no more.
func (m *Memory) leave(s *Socket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.bound {
		if m.bound[i] == s {
			m.bound = append(m.bound[:i], m.bound[i+1:]...)
			return
		}
	}
}

// newPools returns the two pools of the part.
func (p *part) newPools() (rx, tx *pool) {
	o := &p.mem.opt
	return newPool(p, p.first, uint32(o.RxFrames)), newPool(p, p.first+uint32(o.RxFrames), uint32(o.TxFrames))
}

func (p *part) hold(n int64) { p.holders.Add(n) }

// letGo is hold's opposite.
func (p *part) letGo(n int64) error {
	if n == 0 || p.holders.Add(-n) != 0 {
		return nil
	}
	p.mem.mu.Lock()
	defer p.mem.mu.Unlock()
	p.used = false
	if !p.bound { // another queue may have it
		p.queue = -1
	}
	return p.mem.leaveLocked()
}

// shiftOf returns the number of low bits that are a position within a frame.
func (o *MemoryOptions) shiftOf() uint { return uint(bits.TrailingZeros(uint(o.FrameSize))) }
