// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"os"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A hostQueue is a queue of the host's device, whose packets are screened on their
// way to the peers.
type hostQueue struct {
	d     *Device
	inner tun.Queue

	// Owned by the reader.
	who     who
	reached reached

	_   [cacheLine]byte
	out atomic.Uint64 // packets that went to the crypto side
	_   [cacheLine]byte
}

// File returns the descriptor of the queue, nil if it has none. It belongs to the
// host's device.
func (q *hostQueue) File() *os.File { return q.inner.File() }

// Read reads the queue of the host's device and takes out what may not pass.
func (q *hostQueue) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	for {
		n, err := q.inner.Read(slab, packets)
		if n == 0 {
			return n, err
		}
		n = q.addressed(slab, packets[:n])
		if v := q.d.view.Load(); v.forwarding == Isolated || q.d.filtering() {
			n = q.screen(v, slab, packets[:n])
		}
		if n > 0 || err != nil {
			q.out.Add(uint64(n))
			q.d.toPeers(slab, packets[:n])
			return n, err
		}
	}
}

// screen keeps those packets that may pass, in their order, and returns how many.
func (q *hostQueue) screen(v *view, slab []byte, packets []tun.ReadPacket) (n int) {
	w := &q.who
	w.begin()
	for _, r := range packets {
		if q.d.leaves(w, v, slab[r.Offset:r.Offset+r.Size]) {
			packets[n] = r
			n++
		}
	}
	return n
}

// leaves reports whether a packet from the host may go to its peer.
func (d *Device) leaves(w *who, v *view, pkt []byte) bool {
	p := &w.packet
	if problem := p.Parse(pkt); problem != inner.OK {
		d.counters.malformed[problem].Add(1)
		return false
	}
	w.locate(v)
	src, dst := w.srcEntry, w.dstEntry
	// The source is a peer's when the host routes between peers. An address that
	// only a default route would send to a peer is somebody's beyond the host.
	from := filter.Host
	if src.lane != nil && !src.weak && src.lane != dst.lane {
		from = src.lane.party
	}
	if v.forwarding == Isolated && from != filter.Host && dst.lane != nil && routable(p.Dst) {
		d.counters.drop(dropIsolated)
		return false
	}
	if d.filtering() && d.filter.Verdict(&w.verdicts, p, pkt, from, dst.party()) != filter.Pass {
		d.counters.drop(dropFiltered)
		return false
	}
	return true
}
