// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"os"
	"sync"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/tun"
)

var _ tun.Queue = (*queue)(nil)

// queue is one outbound queue of a Device: a ring and its reader.
type queue struct {
	mtu  *atomic.Uint32 // the device's
	ring ring

	// reading guards below: one Read at a time. It is held while Read waits
	// in the ring; closing the ring ends that.
	reading sync.Mutex
	taken   [batchSize]entry
	rest    entry // superpacket of which only a part has been read, or zero
	from    int   // payload bytes of rest that have been read

	stats queueCounters
}

// queueCounters are written once per batch.
type queueCounters struct {
	packets, bytes, superpackets, reads atomic.Uint64
	batches                             [histogramSize]atomic.Uint64
	dropFull, dropSlab, dropClosed      atomic.Uint64
	_                                   [64]byte // no sharing with the next queue
}

// File returns nil: there is no file behind a queue.
func (q *queue) File() *os.File { return nil }

// Read waits for packets and fills slab with as many as it and packets hold. It
// keeps neither. A superpacket that does not fit behind others waits for the
// next Read; one that fits no empty slab is spread over several. It returns
// os.ErrClosed once the device is closed.
//
// A packet longer than the slab is dropped with tun.ErrTooManySegments; the
// caller goes on reading.
func (q *queue) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	if len(packets) == 0 || len(slab) < 2*spacing {
		return 0, tun.ErrTooManySegments
	}
	q.reading.Lock()
	defer q.reading.Unlock()
	room := room{live: q.mtu, slots: len(packets), bytes: len(slab)}
	if q.rest.size > 0 {
		room.begin()
		return q.readRest(slab, packets, room.mtu)
	}
	k := q.ring.take(q.taken[:], &room)
	if k == 0 {
		return 0, os.ErrClosed
	}
	if room.slots == len(packets) { // nothing was claimed: the first is too big
		q.rest, q.from, q.taken[0] = q.taken[0], 0, entry{}
		return q.readRest(slab, packets, room.mtu)
	}

	n, end, supers := 0, 0, 0
	for i := range k {
		e := &q.taken[i]
		m, err := e.place(slab[end:], packets[n:], room.mtu)
		if err != nil { // not what the stack promised; nothing was placed
			q.stats.dropSlab.Add(1)
		}
		if m > 1 {
			supers++
		}
		for j := n; j < n+m; j++ {
			packets[j].Offset += end
		}
		if n += m; m > 0 {
			end = packets[n-1].Offset + packets[n-1].Size
		}
		e.release()
	}
	q.count(packets[:n], supers)
	return n, nil
}

// readRest goes on with a superpacket that does not fit a slab.
func (q *queue) readRest(slab []byte, packets []tun.ReadPacket, mtu int) (int, error) {
	n, next, err := q.rest.placePart(slab, packets, mtu, q.from)
	if err != nil {
		q.stats.dropSlab.Add(1)
	}
	supers := 0
	if q.from = next; err != nil || next >= q.rest.size-q.rest.hdr {
		q.rest.release()
		q.from, supers = 0, 1
	}
	q.count(packets[:n], supers)
	return n, err
}

func (q *queue) count(packets []tun.ReadPacket, supers int) {
	bytes := 0
	for _, p := range packets {
		bytes += p.Size
	}
	q.stats.packets.Add(uint64(len(packets)))
	q.stats.bytes.Add(uint64(bytes))
	q.stats.superpackets.Add(uint64(supers))
	q.stats.reads.Add(1)
	if len(packets) > 0 {
		q.stats.batches[histogramBucket(len(packets))].Add(1)
	}
}

// close ends Read and the waits of senders. What was not read is dropped.
func (q *queue) close() {
	q.ring.close()
	q.reading.Lock()
	defer q.reading.Unlock()
	if q.rest.size > 0 {
		q.rest.release()
	}
}
