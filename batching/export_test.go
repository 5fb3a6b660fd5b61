// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"net/netip"
	"slices"
	"time"
)

const (
	MaxSegments = maxSegments
	MaxPayload4 = maxPayload4
	MaxPayload6 = maxPayload6

	MaxSegmented4 = maxSegmented4
	MaxSegmented6 = maxSegmented6
	MaxSlots      = maxSlots
	MaxMessage    = maxMessage
	RingSlot      = ringSlot
	SmallSlot     = smallSlot
	MediumSlot    = mediumSlot
	LargeSlot     = largeSlot
	MinOffer      = minOffer
)

// NextRun is nextRun.
func NextRun(bufs [][]byte, from, maxPackets, maxBytes, headers int) (packets, bytes, size int) {
	r := nextRun(bufs, from, limits{packets: maxPackets, bytes: maxBytes, headers: headers})
	return r.packets, r.bytes, r.size
}

// NextRunSentinel is nextRun for a path that corrupts equally long packets.
func NextRunSentinel(bufs [][]byte, from, maxPackets, maxBytes int) (packets, bytes int, sentinel bool) {
	r := nextRun(bufs, from, limits{packets: maxPackets, bytes: maxBytes, sentinel: true})
	return r.packets, r.bytes, r.sentinel
}

// SegmentSize is segmentSize, Segments is segments.
func SegmentSize(n, gro int) (int, bool) { return segmentSize(n, gro) }
func Segments(n, size int) int           { return segments(n, size) }

// Bucket is bucket.
func Bucket(n int) int { return bucket(n) }

// A Backlog is a backlog that is filled without a socket.
type Backlog struct{ q backlog }

func NewBacklog() *Backlog {
	return &Backlog{q: backlog{ring: make([]byte, maxSlots*ringSlot)}}
}

// Reset empties it. Add adds message number i of the call, received into slots of
// the given size at the start of slab, as the reader does.
func (b *Backlog) Reset() { b.q.reset() }

func (b *Backlog) Add(slab []byte, i, slot int, data []byte, segment int, remote netip.AddrPort) {
	m := b.q.add()
	*m = message{slot: i, off: i * slot, len: len(data), inSlab: true,
		start: i * slot, end: i*slot + len(data), size: segment, remote: remote}
	n := copy(slab[i*slot:][:slot], data)
	copy(b.q.ring[i*ringSlot+slot:], data[n:])
	if len(data) > slot {
		m.off, m.inSlab = i*ringSlot, false
		copy(b.q.ring[i*ringSlot:], data[:n])
	}
}

func (b *Backlog) Empty() bool                            { return b.q.empty() }
func (b *Backlog) Deliver(slab []byte, pkts []Packet) int { return b.q.deliver(slab, pkts) }
func (b *Backlog) Counts() (copied, tooLong uint64)       { return b.q.copied, b.q.tooLong }

// A Traffic is a traffic.
type Traffic struct{ t traffic }

func (t *Traffic) Observe(messages, packets, bytes int)  { t.t.observe(messages, packets, bytes) }
func (t *Traffic) Slots(slab, packets int) (n, size int) { return t.t.slots(slab, packets) }

// Segmented and Pause are the GSO state of a Destination.
func (d *Destination) Segmented(now time.Time) bool {
	return d.segmented(func() time.Time { return now })
}
func (d *Destination) Pause(until time.Time) { d.pause(until) }

// SetClock replaces the clock of c. Call it before anything else.
func (c *Conn) SetClock(now func() time.Time) { c.now = now }

// Leaving returns the members that have left and are not closed yet.
func (g *Group) Leaving() []*Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.leaving)
}

// FailSockets makes opening more members fail.
func (g *Group) FailSockets(err error) {
	g.open = func(string, netip.AddrPort, Options, bool) (*Conn, error) { return nil, err }
}
