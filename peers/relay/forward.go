// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// A writer sends batches; [*batching.Conn] is one.
type writer interface {
	WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n int, err error)
}

// writers chooses the one for a group of sockets.
type writers interface{ to(group int) writer }

// maxFlows is how many flows of one batch are gathered at once. A batch has at
// most 128 frames, and 8 senders whose frames interleave are many for it.
const maxFlows = 8

// A flow is the frames of one batch that came from one leg, in order.
type flow struct {
	vni  geneve.VNI
	from netip.AddrPort
	leg  Leg

	frames [][]byte
	bytes  int
}

// An outbox gathers the frames of one batch by flow, so that each flow leaves with
// one call: what arrived as one merged message leaves as one segmented message.
// The frames stay where they were received. It belongs to one goroutine; the
// counters are atomic.
type outbox struct {
	table   *Table
	writers writers
	flows   [maxFlows]flow
	n       int // flows in use
	last    int // the one used last

	frames, bytes atomic.Uint64 // that left
}

func (o *outbox) prepare(t *Table, w writers) {
	o.table, o.writers = t, w
	for i := range o.flows {
		o.flows[i].frames = make([][]byte, 0, batching.MaxBatch)
	}
}

// add takes a frame that came from an address, until the next flush, or says why
// it goes nowhere.
func (o *outbox) add(now time.Time, vni geneve.VNI, from netip.AddrPort, frame []byte) Drop {
	f := o.find(vni, from)
	if f == nil {
		leg, drop := o.table.Route(now, vni, from)
		if drop != DropNone {
			return drop
		}
		if o.n == maxFlows {
			o.flush(now)
		}
		o.last = o.n
		o.n++
		f = &o.flows[o.last]
		f.vni, f.from, f.leg = vni, from, leg
	}
	f.frames = append(f.frames, frame)
	f.bytes += len(frame)
	return DropNone
}

func (o *outbox) find(vni geneve.VNI, from netip.AddrPort) *flow {
	if o.n == 0 {
		return nil
	}
	if f := &o.flows[o.last]; f.vni == vni && f.from == from {
		return f
	}
	for i := range o.flows[:o.n] {
		if f := &o.flows[i]; f.vni == vni && f.from == from {
			o.last = i
			return f
		}
	}
	return nil
}

// flush sends everything, in the order that the flows began.
func (o *outbox) flush(now time.Time) {
	for i := range o.flows[:o.n] {
		f := &o.flows[i]
		o.send(now, f)
		clear(f.frames)
		f.frames, f.bytes, f.leg = f.frames[:0], 0, Leg{}
	}
	o.n, o.last = 0, 0
}

// send sends the frames of a flow with one call, as they came.
func (o *outbox) send(now time.Time, f *flow) {
	frames, bytes := o.limit(now, f)
	if len(frames) == 0 {
		return
	}
	n, err := o.writers.to(f.leg.to.group).WriteBatch(frames, 0, f.leg.to.dst, 0)
	if err != nil && n < len(frames) && f.leg.to.dst.Local().IsValid() && sourceRefused(err) {
		to := f.leg.withoutSource()
		var m int
		m, _ = o.writers.to(to.group).WriteBatch(frames[n:], 0, to.dst, 0)
		n += m
	}
	if n < len(frames) {
		o.table.drops.add(DropSend, uint64(len(frames)-n))
		// Which of them left is not known when one was too long: take the mean.
		bytes = bytes * n / len(frames)
	}
	if n > 0 {
		from := &f.leg.session.traffic[f.leg.side]
		from.frames.Add(uint64(n))
		from.bytes.Add(uint64(bytes))
		o.frames.Add(uint64(n))
		o.bytes.Add(uint64(bytes))
	}
}

// limit returns the frames of f that the sender may have forwarded.
func (o *outbox) limit(now time.Time, f *flow) (frames [][]byte, bytes int) {
	rate := o.table.rate
	if rate.perSecond == 0 {
		return f.frames, f.bytes
	}
	at, bucket := o.table.since(now), &f.leg.session.clients[f.leg.side].bytes
	if bucket.take(at, f.bytes, rate) {
		return f.frames, f.bytes
	}
	for i, b := range f.frames {
		if !bucket.take(at, len(b), rate) {
			o.table.drops.add(DropRate, uint64(len(f.frames)-i))
			return f.frames[:i], bytes
		}
		bytes += len(b)
	}
	return f.frames, bytes
}

// withoutSource lets the local address that frames left from go, after the kernel
// refused it, and returns the place to use instead.
func (l Leg) withoutSource() *place {
	p := &place{
		addr:  l.to.addr,
		dst:   batching.NewDestination(l.to.addr, netip.Addr{}, l.to.dst.IfIndex()),
		group: l.to.group,
	}
	l.session.at[1-l.side].CompareAndSwap(l.to, p)
	return p
}

// sourceRefused reports whether err may mean that the source address is no longer
// one of the host's, or that no route leads from it to the client.
func sourceRefused(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EADDRNOTAVAIL) ||
		errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ENODEV)
}
