// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"cmp"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// Stats are the counters of a [Device] since it was made.
type Stats struct {
	Forwarding Forwarding

	// FromPeers counts the packets that were written, ToPeers those that were read,
	// of all queues.
	FromPeers, ToPeers uint64
	// Cut counts what came out of the cut-through queue.
	Cut BatchStats
	// Lanes are the present peers, by Party.
	Lanes []LaneStats
	// Held is how many bytes of memory hold what waits, of at most MaxBytes.
	Held, MaxBytes int64

	// Malformed counts packets that were dropped because their headers are wrong,
	// by reason, both from peers and from the host.
	Malformed map[inner.Problem]uint64
	// Dropped counts other packets that were not passed on.
	Dropped Drops
	// LocalScope counts packets from peers, not dropped, that stayed with the host
	// because their addresses may not be routed, as multicast.
	LocalScope uint64
	// Fragmented counts packets that were cut to the MTU, Fragments what became of
	// them.
	Fragmented, Fragments uint64
	// ICMPSent counts errors sent to peers, ICMPLimited those that were not because
	// the peer had had its share.
	ICMPSent, ICMPLimited uint64
}

// Drops are packets that were dropped, by reason.
type Drops struct {
	Full     uint64 // no room left in the lane of the peer
	HopLimit uint64 // time to live ended here
	TooBig   uint64 // larger than the MTU, not to be fragmented
	Loop     uint64 // from a peer to itself
	Source   uint64 // the source address is no peer's
	Isolated uint64 // from peer to peer, which is forbidden
	Filtered uint64 // denied by the filter, see [filter.Stats]
	NoPeer   uint64 // from the host to an address that no peer has
	Closed   uint64 // written, or still waiting for a peer, when the Device was closed
}

// LaneStats are the counters of what was sent to one peer by others.
type LaneStats struct {
	Party          filter.Party
	Packets, Bytes uint64
	Full           uint64 // packets dropped because no room was left
	Held           int64  // bytes of memory in use
}

// BatchStats count batches.
type BatchStats struct {
	Packets, Bytes uint64
	// Batches[i] counts batches of 2^i packets up to 2^(i+1)-1.
	Batches [8]uint64
}

type drop uint8

const (
	dropHopLimit drop = iota
	dropTooBig
	dropLoop
	dropSource
	dropIsolated
	dropFiltered
	dropNoPeer
	dropClosed
	drops
)

type counters struct {
	malformed   [inner.Problems]atomic.Uint64
	dropped     [drops]atomic.Uint64
	fullOfGone  atomic.Uint64 // of lanes that are no more
	scope       atomic.Uint64
	fragmented  atomic.Uint64
	fragments   atomic.Uint64
	icmpSent    atomic.Uint64
	icmpLimited atomic.Uint64
	fromPeers   [flowCounters]flowCounter
}

// cacheLine separates counters that different goroutines write: amd64 fetches lines in
// pairs.
const cacheLine = 128

// flowCounters is how many goroutines count what is written without disturbing each
// other. There is one for each peer.
const flowCounters = 16

type flowCounter struct {
	n atomic.Uint64
	_ [cacheLine - 8]byte
}

// taken counts packets that were written for a flow.
func (c *counters) taken(flow, packets int) {
	c.fromPeers[uint(flow)%flowCounters].n.Add(uint64(packets))
}

func (c *counters) drop(reason drop) { c.dropped[reason].Add(1) }

// gone keeps what a lane has counted.
func (c *counters) gone(l *lane) { c.fullOfGone.Add(l.full.Load()) }

type batchCounters struct {
	packets, bytes atomic.Uint64
	tooBig         atomic.Uint64 // packets that no slab has room for
	batches        [8]atomic.Uint64
}

func (c *batchCounters) count(packets, bytes int) {
	c.packets.Add(uint64(packets))
	c.bytes.Add(uint64(bytes))
	c.batches[min(bits.Len(uint(packets))-1, len(c.batches)-1)].Add(1)
}

// Stats returns a snapshot of the counters.
func (d *Device) Stats() Stats {
	c := &d.counters
	at := func(r drop) uint64 { return c.dropped[r].Load() }
	s := Stats{
		Forwarding: d.Forwarding(),
		Held:       d.parcels.held.Load(),
		MaxBytes:   d.maxBytes,
		Malformed:  make(map[inner.Problem]uint64, inner.Problems),
		Dropped: Drops{
			Full:     c.fullOfGone.Load(),
			HopLimit: at(dropHopLimit), TooBig: at(dropTooBig), Loop: at(dropLoop),
			Source: at(dropSource), Isolated: at(dropIsolated), Filtered: at(dropFiltered), NoPeer: at(dropNoPeer), Closed: at(dropClosed),
		},
		LocalScope:  c.scope.Load(),
		Fragmented:  c.fragmented.Load(),
		Fragments:   c.fragments.Load(),
		ICMPSent:    c.icmpSent.Load(),
		ICMPLimited: c.icmpLimited.Load(),
	}
	for p := inner.OK + 1; int(p) < inner.Problems; p++ {
		s.Malformed[p] = c.malformed[p].Load()
	}
	q := &d.cut.counters
	s.Cut.Packets, s.Cut.Bytes = q.packets.Load(), q.bytes.Load()
	s.ToPeers = s.Cut.Packets
	for _, h := range d.host {
		s.ToPeers += h.out.Load()
	}
	for i := range c.fromPeers {
		s.FromPeers += c.fromPeers[i].n.Load()
	}
	s.Dropped.TooBig += q.tooBig.Load()
	for i := range q.batches {
		s.Cut.Batches[i] = q.batches[i].Load()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lanes {
		n := LaneStats{Party: l.party, Packets: l.packets.Load(), Bytes: l.bytes.Load(), Full: l.full.Load(), Held: l.held.Load()}
		s.Lanes = append(s.Lanes, n)
		s.Dropped.Full += n.Full
	}
	slices.SortFunc(s.Lanes, func(a, b LaneStats) int { return cmp.Compare(a.Party, b.Party) })
	return s
}
