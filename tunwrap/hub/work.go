// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"os"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A work is the memory of one WriteTo.
type work struct {
	who
	host [][]byte // packets for the host, as they came
	out  []routed // packets for peers
}

// A routed packet is one on its way to a peer.
type routed struct {
	lane *lane // nil: done
	pkt  []byte
}

// passive reports whether packets pass as if the Device were not there.
func (d *Device) passive(v *view) bool {
	return v.forwarding == Off && !d.filtering()
}

func (d *Device) filtering() bool { return d.filter != nil && d.filter.Enabled() }

// Write is [Device.WriteTo] with flow 0.
func (d *Device) Write(bufs [][]byte, offset int) (int, error) {
	return d.WriteTo(0, bufs, offset)
}

// WriteTo takes the packets bufs[i][offset:] of one peer and gives them to the host
// or to the peer that they are for; see [tun.MultiQueueDevice]. It returns how many
// of them got that far. Headers of routed packets are changed in place; nothing is
// kept. What is dropped is counted in [Stats] and no error.
func (d *Device) WriteTo(flow int, bufs [][]byte, offset int) (int, error) {
	d.counters.taken(flow, len(bufs))
	d.fromPeers(bufs, offset)
	v := d.view.Load()
	if d.passive(v) {
		return d.writeTo(flow, bufs, offset)
	}
	if d.closed.Load() {
		d.counters.dropped[dropClosed].Add(uint64(len(bufs)))
		return 0, os.ErrClosed
	}
	w := d.works.Get().(*work)
	w.begin()
	for _, b := range bufs {
		if len(b) <= offset {
			w.host = append(w.host, b) // for the host's device to count
		} else {
			d.sort(w, v, b, offset)
		}
	}
	n := 0
	if len(w.out) > 0 {
		n = d.deliver(w)
		clear(w.out)
		w.out = w.out[:0]
	}
	var err error
	if len(w.host) > 0 {
		var m int
		m, err = d.writeTo(flow, w.host, offset)
		n += m
		clear(w.host)
		w.host = w.host[:0]
	}
	d.works.Put(w)
	return n, err
}

// sort decides what becomes of the packet b[offset:].
func (d *Device) sort(w *work, v *view, b []byte, offset int) {
	pkt, p := b[offset:], &w.packet
	if problem := p.Parse(pkt); problem != inner.OK {
		d.counters.malformed[problem].Add(1)
		return
	}
	if w.locate(v) {
		w.way = w.chooseWay(v)
	}
	to := filter.Host
	switch w.way {
	case toHostScoped:
		d.counters.scope.Add(1)
	case throughHost, toPeer:
		to = w.dstEntry.lane.party
	case droppedLoop:
		d.counters.drop(dropLoop)
		return
	case droppedSource:
		d.counters.drop(dropSource)
		return
	case droppedIsolated:
		d.counters.drop(dropIsolated)
		return
	}
	src := w.srcEntry.lane
	if d.filtering() {
		if src == nil {
			d.counters.drop(dropSource)
			return
		}
		if d.filter.Verdict(&w.verdicts, p, pkt, src.party, to) != filter.Pass {
			d.counters.drop(dropFiltered)
			return
		}
	}
	if w.way == toPeer {
		d.route(w, v, pkt, src, w.dstEntry.lane)
	} else {
		w.host = append(w.host, b)
	}
}

// deliver gives the packets to the reader of the queue, or puts them into the lanes,
// each lane's in their order. It returns how many found room.
func (d *Device) deliver(w *work) (n int) {
	out := w.out
	if b := d.cut.claim(); b != nil {
		for len(out) > 0 && b.add(out[0].pkt) {
			l, bytes := out[0].lane, len(out[0].pkt)
			n++
			packets := 1
			for out = out[1:]; len(out) > 0 && out[0].lane == l && b.add(out[0].pkt); out = out[1:] {
				packets++
				bytes += len(out[0].pkt)
				n++
			}
			l.count(packets, bytes)
		}
		d.cut.release()
	}
	for i := range out {
		if l := out[i].lane; l != nil {
			n += d.queueFor(l, out[i:])
		}
	}
	return n
}

// queueFor puts those packets that are for the lane l into parcels and queues them,
// and marks them as done. It returns how many found room.
func (d *Device) queueFor(l *lane, out []routed) int {
	rest := 0 // bytes still to be put into parcels
	for _, r := range out {
		if r.lane == l {
			rest += lengthLen + len(r.pkt)
		}
	}
	var first, last *parcel
	used, packets, bytes, full := int64(0), 0, 0, false
	for i := range out {
		r := &out[i]
		if r.lane != l {
			continue
		}
		r.lane = nil
		need := lengthLen + len(r.pkt)
		if !full && (last == nil || cap(last.buf)-len(last.buf) < need) {
			class := classOf(rest)
			cost := int64(classes[class])
			if l.held.Load()+used+cost > d.allowed(used) {
				full = true
			} else {
				p := d.parcels.get(class)
				used += cost
				if last == nil {
					first = p
				} else {
					last.next = p
				}
				last = p
			}
		}
		rest -= need
		if full {
			l.full.Add(1)
			continue
		}
		last.add(r.pkt)
		packets++
		bytes += len(r.pkt)
	}
	if first == nil {
		return 0
	}
	l.held.Add(used)
	d.parcels.held.Add(used)
	if !d.cut.push(l, first, last) {
		l.held.Add(-used) // closed meanwhile
		d.parcels.held.Add(-used)
		d.counters.dropped[dropClosed].Add(uint64(packets))
		return 0
	}
	l.count(packets, bytes)
	return packets
}

// allowed returns how many bytes one lane may hold now: as many as nobody holds
// (Choudhury and Hahne, Dynamic Queue Length Thresholds, 1998), so that there is
// always room for a lane that was empty.
func (d *Device) allowed(used int64) int64 {
	return min(maxLane, d.maxBytes-d.parcels.held.Load()-used)
}
