// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// ringPackets bounds the packets of a ring that senders put there and
	// wait for. Small packets reach it first: 1024 × 200 B = 200 KiB.
	ringPackets = 1024
	// ringReserve is the room behind that for packets whose sender must not
	// wait: two full batches of replies.
	ringReserve = 2 * batchSize
	// ringBytes bounds the bytes likewise. Superpackets reach it first: 1 MiB
	// is 17 of them, the content of 9 Reads, and 8 ms at 1 Gbit/s.
	ringBytes = 1 << 20
)

// entry is one packet or superpacket in a ring: TCP, or whatever else gVisor
// sends, in pkt; UDP and ICMP that never saw it in raw. The ring's reference to
// pkt, or raw, goes to whoever takes the entry out.
type entry struct {
	pkt  *stack.PacketBuffer // nil: raw
	raw  *rawPacket
	size int  // bytes, headers included
	hdr  int  // of them IP and transport headers
	mss  int  // most payload bytes of one packet; 0: a whole packet already
	csum bool // the TCP checksum is to be completed: the field has the pseudo header's sum
}

// release gives the packet back and forgets it.
func (e *entry) release() {
	if e.raw != nil {
		e.raw.put()
	} else {
		e.pkt.DecRef()
	}
	*e = entry{}
}

// putResult says what became of an entry.
type putResult int

const (
	putDone   putResult = iota // the ring has it
	putFull                    // no room, and the sender would not wait
	putClosed                  // the ring is closed
)

// ring is a bounded queue with many writers and one reader at a time.
//
// No lock is held while a writer or reader waits; close ends both waits.
type ring struct {
	mu       sync.Mutex
	notEmpty sync.Cond
	notFull  sync.Cond

	// mu guards below.
	slots   [ringPackets + ringReserve]entry
	head    int // index of the oldest entry
	count   int
	bytes   int
	readers int // waiting in take
	writers int // waiting in put
	waits   uint64
	closed  bool
}

func (r *ring) init() {
	r.notEmpty.L = &r.mu
	r.notFull.L = &r.mu
}

// put appends e. When the ring is full it waits for room if wait is set, and
// otherwise uses the reserve. The caller keeps the reference unless putDone.
func (r *ring) put(e entry, wait bool) putResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	if wait && !r.closed && r.fullLocked() {
		r.waits++
		for r.fullLocked() && !r.closed {
			r.writers++
			r.notFull.Wait()
			r.writers--
		}
	}
	if r.closed {
		return putClosed
	}
	if r.count == len(r.slots) {
		return putFull
	}
	r.slots[(r.head+r.count)%len(r.slots)] = e
	r.count++
	r.bytes += e.size
	if r.readers > 0 {
		r.notEmpty.Signal()
	}
	return putDone
}

// fullLocked reports whether a sender that can wait must. One entry always has
// room, whatever its size.
func (r *ring) fullLocked() bool {
	return r.count >= ringPackets || r.bytes >= ringBytes
}

// take waits until there is an entry and moves entries to dst, oldest first, as
// long as there is room for them. It returns how many; 0 when the ring is
// closed. The first is taken even if there is no room for it: then it is the
// only one.
func (r *ring) take(dst []entry, room *room) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.count == 0 && !r.closed {
		r.readers++
		r.notEmpty.Wait()
		r.readers--
	}
	if r.closed {
		return 0
	}
	n := 0
	room.begin()
	for n < len(dst) && r.count > 0 {
		e := &r.slots[r.head]
		fits := room.claim(e)
		if !fits && n > 0 {
			break
		}
		dst[n] = *e
		n++
		r.bytes -= e.size
		*e = entry{}
		r.head = (r.head + 1) % len(r.slots)
		r.count--
		if !fits {
			break
		}
	}
	// Woken writers find room for several entries: fewer, longer turns.
	if r.writers > 0 && r.count <= ringPackets/2 && r.bytes <= ringBytes/2 {
		r.notFull.Broadcast()
	}
	return n
}

// close ends all waits, now and later, and drops what is in the ring.
func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for ; r.count > 0; r.count-- {
		r.slots[r.head].release()
		r.head = (r.head + 1) % len(r.slots)
	}
	r.bytes = 0
	r.notEmpty.Broadcast()
	r.notFull.Broadcast()
}

// depth returns what is in the ring now and how often a sender had to wait.
func (r *ring) depth() (packets, bytes int, waits uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count, r.bytes, r.waits
}
