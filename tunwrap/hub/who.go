// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"net/netip"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A who is what a series of packets is asked: whose they are, and whether they may.
// It remembers the answers for the packet before, as packets come in runs.
type who struct {
	packet   inner.Packet
	verdicts filter.Batch

	// Of the packets from src to dst.
	src, dst           netip.Addr
	srcEntry, dstEntry entry
	way                way
}

// begin forgets what was remembered: the table may be another one now.
func (w *who) begin() {
	w.src, w.dst = netip.Addr{}, netip.Addr{}
	w.verdicts.Reset()
}

// locate looks up both ends of the packet and reports whether they are other ones
// than before.
func (w *who) locate(v *view) bool {
	p := &w.packet
	if p.Src == w.src && p.Dst == w.dst {
		return false
	}
	w.src, w.dst = p.Src, p.Dst
	w.srcEntry, _ = v.table.Lookup(p.Src)
	w.dstEntry, _ = v.table.Lookup(p.Dst)
	return true
}

// A way is what becomes of a packet by its addresses.
type way uint8

const (
	toHost       way = iota // and no further, or to where it routes what it does not know
	toHostScoped            // because no router may pass it on
	throughHost             // to a peer, if the host routes it there
	toPeer
	droppedLoop
	droppedSource
	droppedIsolated
)

// chooseWay decides about packets from one peer, from and to the ends that were looked
// up last.
func (w *who) chooseWay(v *view) way {
	src, dst := w.srcEntry, w.dstEntry
	switch {
	case dst.lane == nil || dst.behind:
		return toHost
	case v.forwarding == Off:
		return throughHost
	case !routable(w.dst) || !routable(w.src):
		return toHostScoped
	case dst.lane == src.lane && dst.weak:
		return toHost // the peer is the way to the rest of the world, and still sent it to us
	case dst.lane == src.lane:
		return droppedLoop
	case src.lane == nil:
		// wireguard-go took it, so the routes are about to change. A source that is
		// nobody's goes no further than the host.
		return droppedSource
	case v.forwarding == Isolated:
		return droppedIsolated
	}
	return toPeer
}
