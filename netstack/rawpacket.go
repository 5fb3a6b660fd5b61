// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// rawSizes are the capacities of raw packets: one packet of the usual MTU, a
// jumbo frame or a few packets, any superpacket. A ring is bounded by the bytes
// in it, so buffers that are mostly empty would take more than it says.
var rawSizes = [...]int{2 << 10, 16 << 10, maxMTU}

// rawPacket is an IP packet or superpacket that did not come from gVisor. It
// belongs to whoever got it, until put or until a ring has taken it.
type rawPacket struct {
	b    []byte // the packet, from its first byte
	pool *rawPool
	size int // the one of rawSizes that is its capacity
	used atomic.Bool
}

// rawPool is a pool of raw packets. The zero value is ready.
type rawPool struct {
	classes [len(rawSizes)]sync.Pool
	out     atomic.Int64 // got and not put
}

// get returns a packet of n bytes, at most maxMTU, with undefined content.
func (p *rawPool) get(n int) *rawPacket {
	for i, size := range rawSizes {
		if n > size {
			continue
		}
		r, _ := p.classes[i].Get().(*rawPacket)
		if r == nil {
			r = &rawPacket{b: make([]byte, size), pool: p, size: size}
		}
		r.b = r.b[:n]
		r.used.Store(true)
		p.out.Add(1)
		return r
	}
	panic(fmt.Sprintf("netstack: raw packet of %d bytes", n))
}

// put gives r back to its pool. Twice, or with another buffer than its own, is
// a fault of the program and panics.
func (r *rawPacket) put() {
	if !r.used.CompareAndSwap(true, false) {
		panic("netstack: raw packet put twice")
	}
	if cap(r.b) != r.size {
		panic(fmt.Sprintf("netstack: raw packet put with %d bytes instead of %d", cap(r.b), r.size))
	}
	for i, size := range rawSizes {
		if size == r.size {
			r.b = r.b[:0]
			r.pool.out.Add(-1)
			r.pool.classes[i].Put(r)
			return
		}
	}
	panic(fmt.Sprintf("netstack: raw packet of size %d put", r.size))
}
