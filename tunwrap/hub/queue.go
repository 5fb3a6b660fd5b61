// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"os"
	"sync"

	"github.com/tailscale/wireguard-go/tun"
)

// quantum is how many bytes a lane sends in its turn before the next has one, while
// others wait: one message of the network side.
const quantum = 64 << 10

// spacing is the room that every packet has before and behind it in a slab.
const spacing = tun.ReadPacketSpacing

// A queue is the read-only queue that packets from peer to peer come out of.
//
// While its reader waits and no lane holds anything, a writer copies its packets
// straight into the reader's slab. Otherwise they go into parcels, in lanes.
type queue struct {
	parcels *parcels

	mu      sync.Mutex
	ready   sync.Cond // for the reader, when one of the following changes
	open    bool      // the reader waits, its batch is for whoever comes first
	claimed bool      // a writer fills the reader's batch
	filled  bool      // and has done so
	closed  bool
	first   *lane // those that are not empty, in turn
	last    *lane

	// Owned by the reader, or by the writer that has claimed it.
	batch batch

	// Owned by the reader.
	rest  *parcel // that did not fit the last batch
	whole []byte  // the buffer of rest, from its beginning
	taken []*parcel

	counters batchCounters
}

func newQueue(p *parcels) *queue {
	q := &queue{parcels: p, taken: make([]*parcel, 0, 64)}
	q.ready.L = &q.mu
	return q
}

// claim returns the batch of the waiting reader, or nil if it does not wait or others
// come first. The caller fills it and calls release.
func (q *queue) claim() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.open || q.first != nil || q.closed {
		return nil
	}
	q.open, q.claimed = false, true
	return &q.batch
}

// release ends a claim.
func (q *queue) release() {
	q.mu.Lock()
	q.claimed, q.filled = false, true
	q.mu.Unlock()
	q.ready.Signal()
}

// push queues parcels for a lane, linked from first to last.
func (q *queue) push(l *lane, first, last *parcel) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	if l.first == nil {
		l.first = first
		q.enter(l)
	} else {
		l.last.next = first
	}
	l.last = last
	if q.open {
		q.open = false
		q.ready.Signal()
	}
	return true
}

// enter puts a lane behind those that wait for their turn.
func (q *queue) enter(l *lane) {
	l.next = nil
	if q.first == nil {
		q.first = l
	} else {
		q.last.next = l
	}
	q.last = l
}

// Read waits for packets and returns as many as fit, lane by lane; see
// [tun.Reader]. It returns [os.ErrClosed] when the Device is closed.
func (q *queue) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	if len(packets) == 0 || len(slab) < 2*spacing {
		return 0, tun.ErrTooManySegments
	}
	q.batch = batch{slab: slab, packets: packets, next: spacing}
	b := &q.batch
	for b.n == 0 {
		if q.rest != nil {
			q.unpack(b, q.rest, q.whole)
			if q.rest != nil && b.n == 0 {
				// Not even an empty slab has room: it never will.
				q.counters.tooBig.Add(uint64(q.rest.count))
				q.parcels.put(q.rest, q.whole)
				q.rest, q.whole = nil, nil
				return 0, tun.ErrTooManySegments
			}
		}
		if q.rest == nil {
			if !q.take(b) {
				return 0, os.ErrClosed
			}
			for i, p := range q.taken {
				q.taken[i] = nil
				q.unpack(b, p, p.buf)
			}
			q.taken = q.taken[:0]
		}
	}
	q.counters.count(b.n, b.bytes)
	n := b.n
	b.slab, b.packets = nil, nil
	return n, nil
}

// take moves the parcels that fit the batch from the lanes to q.taken. If the batch
// is empty it waits for the first of them, or for a writer to fill it. Only the last
// parcel may not fit whole, and that only when it is the first. It returns false when
// the queue is closed.
func (q *queue) take(b *batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for b.n == 0 && q.first == nil && !q.closed {
		q.open = true
		for q.open && !q.closed || q.claimed {
			q.ready.Wait()
		}
		q.open = false
		if q.filled {
			q.filled = false
			if b.n > 0 {
				return true
			}
		}
	}
	if q.closed {
		return false
	}
	count, room := len(b.packets)-b.n, b.room()
	for full := false; q.first != nil && !full; {
		l, sent := q.first, 0
		for l.first != nil && sent < quantum {
			p := l.first
			need := len(p.buf) + p.count*(spacing-lengthLen)
			full = p.count > count || need > room
			if full && (b.n > 0 || len(q.taken) > 0) {
				break
			}
			count -= p.count
			room -= need
			sent += len(p.buf)
			l.first, p.next = p.next, nil
			l.held.Add(-int64(classes[p.class]))
			q.parcels.held.Add(-int64(classes[p.class]))
			q.taken = append(q.taken, p)
			if full {
				break
			}
		}
		if full && sent == 0 {
			break // it keeps its turn
		}
		q.first = l.next
		if l.first != nil {
			q.enter(l)
		}
	}
	return true
}

// unpack moves packets of p into the batch. What does not fit stays as q.rest.
func (q *queue) unpack(b *batch, p *parcel, whole []byte) {
	for p.count > 0 {
		if !b.add(p.head()) {
			q.rest, q.whole = p, whole
			return
		}
		p.pop()
	}
	if q.rest == p {
		q.rest, q.whole = nil, nil
	}
	q.parcels.put(p, whole)
}

// close ends reads and drops what waits; it returns how many packets that were.
func (q *queue) close() (packets int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for ; q.first != nil; q.first = q.first.next {
		for p := q.first.first; p != nil; p = p.next {
			packets += p.count
			q.parcels.held.Add(-int64(classes[p.class]))
			q.first.held.Add(-int64(classes[p.class]))
		}
		q.first.first = nil
	}
	q.ready.Broadcast()
	return packets
}

// A batch is the slab and the descriptors of one read, and how far they are used.
type batch struct {
	slab    []byte
	packets []tun.ReadPacket
	n       int
	next    int // offset of the next packet
	bytes   int
}

// room returns how many bytes the next packet may have.
func (b *batch) room() int { return len(b.slab) - spacing - b.next }

// add copies a packet behind those that are there, if it fits.
func (b *batch) add(pkt []byte) bool {
	if b.n == len(b.packets) || len(pkt) > b.room() {
		return false
	}
	copy(b.slab[b.next:], pkt)
	b.packets[b.n] = tun.ReadPacket{Offset: b.next, Size: len(pkt)}
	b.n++
	b.next += len(pkt) + spacing
	b.bytes += len(pkt)
	return true
}
