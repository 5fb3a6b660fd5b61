// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

const (
	// maxSlots is the most messages that one recvmmsg(2) brings. The slab has
	// room for 64 slots that hold a packet of an Ethernet path, and each has 64
	// KiB in the ring.
	maxSlots = 64
	// maxMessage is the most bytes in a received message: what UDP over IPv6
	// can carry. GRO merges UDP up to GRO_LEGACY_MAX_SIZE, 65,536 bytes with
	// their headers, also where it merges more of TCP (skb_gro_receive in
	// net/core/gro.c).
	maxMessage = maxPayload6
	// ringSlot is the distance of ring slots: maxMessage rounded up to an odd
	// number of cache lines (1,025 of 64 bytes). At a distance of 64 KiB the
	// slots would compete for the same few sets of the caches.
	ringSlot = 1025 * 64
)

// A backlog holds received messages until their packets were described to a
// caller. It is one call's in the best case: then the messages that are in the
// slab are described in place. What has to wait for the next call must leave the
// slab, which is the caller's, and moves to the ring.
//
//	slab  | message 0 | free | message 1 | free | (message 2 did not fit) free |
//	ring  |      slot 0      |      slot 1      |  message 2, made whole    |
//
// Packets of messages in the ring are copied to the free parts of the slab, in
// ascending order. The order of descriptors is the order of arrival; that of
// offsets need not be.
type backlog struct {
	ring []byte // maxSlots * ringSlot bytes
	msgs [maxSlots]message
	head int // the first that has packets left
	tail int // one after the last

	bytes   uint64 // in packets that were described, ever
	copied  uint64 // packets that were copied, ever
	tooLong uint64 // packets dropped because a whole slab is too small, ever
}

func (q *backlog) empty() bool { return q.head == q.tail }

// reset forgets all messages.
func (q *backlog) reset() { q.head, q.tail = 0, 0 }

// add returns the next message, to be filled in. There is room for maxSlots
// since the last reset.
func (q *backlog) add() *message {
	m := &q.msgs[q.tail]
	q.tail++
	return m
}

// deliver describes as many packets as slab and pkts have room for, and returns
// how many. Afterwards no message is in the slab. slab must be the one that the
// messages in it were received into. It returns 0 only when the backlog is empty
// or pkts is.
func (q *backlog) deliver(slab []byte, pkts []Packet) (n int) {
	var (
		free   int      // where the next copy goes
		inSlab = q.head // no message before this one is in the slab at or after free
	)
	for q.head < q.tail {
		m := &q.msgs[q.head]
		if m.empty {
			if n == len(pkts) {
				break
			}
			m.describe(&pkts[n], 0, 0)
			n++
		}
		if m.inSlab {
			k, bytes := m.describeAll(pkts[n:])
			n += k
			q.bytes += uint64(bytes)
		}
		for m.len > 0 && n < len(pkts) {
			size := m.next()
			if size > len(slab) {
				q.tooLong++
				m.take(size)
				continue
			}
			var off int
			if off, inSlab = q.place(free, size, len(slab), inSlab); off < 0 {
				q.keep(slab)
				return n
			}
			copy(slab[off:], q.ring[m.off:m.off+size])
			free = off + size
			q.copied++
			q.bytes += uint64(size)
			m.describe(&pkts[n], off, size)
			m.take(size)
			n++
		}
		if m.len > 0 {
			break
		}
		q.head++
	}
	q.keep(slab)
	return n
}

// place finds size bytes between the messages in the slab, described or not, at
// free or after it, and returns where, or -1. No message before from is in the
// slab at or after free; next is the same for what follows the place found.
func (q *backlog) place(free, size, slab, from int) (off, next int) {
	for ; from < q.tail; from++ {
		m := &q.msgs[from]
		if !m.inSlab {
			continue
		}
		if free+size <= m.start {
			return free, from
		}
		free = max(free, m.end)
	}
	if free+size <= slab {
		return free, from
	}
	return -1, from
}

// keep moves what is left in the slab to the ring.
func (q *backlog) keep(slab []byte) {
	for i := q.head; i < q.tail; i++ {
		m := &q.msgs[i]
		if m.inSlab {
			off := m.slot * ringSlot
			copy(q.ring[off:off+m.len], slab[m.off:])
			m.off, m.inSlab = off, false
		}
	}
}
