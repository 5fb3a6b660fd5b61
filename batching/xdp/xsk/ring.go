// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import "sync/atomic"

// A ring is memory that the kernel maps, too: entries, the index of the next one
// to be written (producer) and to be read (consumer), both running freely modulo
// 2^32, and flags. One side writes producer, the other consumer.
//
// What is written before an index is stored must be seen by who loads it: the
// kernel uses smp_store_release and smp_load_acquire (the comment and the
// functions in net/xdp/xsk_queue.h). Atomics of Go are sequentially consistent
// (go.dev/ref/mem), which includes both, and the compiler moves no access to
// entries across them. Both sides keep a copy of the other's index and
// look again only when it does not suffice, which keeps the cache line still.
type ring struct {
	producer, consumer, flags *atomic.Uint32
	mask                      uint32
	prod, cons                uint32 // own index and copy of the other's
}

// needWakeup is XDP_RING_NEED_WAKEUP in include/uapi/linux/if_xdp.h.
const needWakeup = 1

// wants reports whether the kernel asks to be woken.
func (r *ring) wants() bool { return r.flags.Load()&needWakeup != 0 }

// room returns how many entries the producer may write, looking at the kernel's
// index if fewer than n are known.
func (r *ring) room(n uint32) uint32 {
	size := r.mask + 1
	if free := size - (r.prod - r.cons); free >= n {
		return free
	}
	cons := r.consumer.Load()
	if r.prod-cons > size {
		return 0 // an index that cannot be: nothing is safe to overwrite
	}
	r.cons = cons
	return size - (r.prod - cons)
}

// ready returns how many entries the consumer may read, looking at the kernel's
// index if fewer than n are known.
func (r *ring) ready(n uint32) uint32 {
	if have := r.prod - r.cons; have >= n {
		return have
	}
	prod := r.producer.Load()
	if prod-r.cons > r.mask+1 {
		return 0 // an index that cannot be: nothing there is an entry
	}
	r.prod = prod
	return r.prod - r.cons
}

// publish makes the n entries behind the last published ones the kernel's.
func (r *ring) publish(n uint32) {
	r.prod += n
	r.producer.Store(r.prod)
}

// consumed gives the next n entries back to the kernel.
func (r *ring) consumed(n uint32) {
	r.cons += n
	r.consumer.Store(r.cons)
}

// addrRing is a fill or completion ring: its entries are positions in the UMEM.
type addrRing struct {
	ring
	entries []uint64
}

// put writes the entry i places behind the published ones.
func (r *addrRing) put(i uint32, addr uint64) { r.entries[(r.prod+i)&r.mask] = addr }

// get reads the entry i places behind the consumed ones.
func (r *addrRing) get(i uint32) uint64 { return r.entries[(r.cons+i)&r.mask] }

// A desc is struct xdp_desc in include/uapi/linux/if_xdp.h.
type desc struct {
	addr    uint64
	len     uint32
	options uint32
}

// descRing is a receive or transmit ring.
type descRing struct {
	ring
	entries []desc
}

// put writes the entry i places behind the published ones.
func (r *descRing) put(i uint32, d desc) { r.entries[(r.prod+i)&r.mask] = d }

// get reads the entry i places behind the consumed ones.
func (r *descRing) get(i uint32) desc { return r.entries[(r.cons+i)&r.mask] }
