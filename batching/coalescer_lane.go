// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"cmp"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
)

// A lane is the run that is being gathered for one remote address. Sizes of
// packets are those on the wire, with their Geneve header.
type lane struct {
	coalescer *coalescer // immutable

	// since is the number of the run that waits, 0 when none does.
	since atomic.Uint64

	// mu guards what follows. It is held while the lane is flushed: nothing
	// overtakes.
	mu     sync.Mutex
	remote netip.AddrPort
	gone   bool // no longer one of the coalescer's
	dst    *Destination
	vni    geneve.VNI
	late   error // of packets to dst that waited, for the next call

	plan  *coalescePlan // that the run follows
	slab  *slab         // nil when the run is empty
	count int           // packets in the run: slab.packets[:count]
	// kept are the packets of earlier calls, out of count. copied are those in
	// the slab's own memory, at least the former; the others are in the caller's.
	kept, copied int
	size, bytes  int // of the first packet, of all

	timer *time.Timer
	armed bool
	stale int // how often the timer's function runs for a run that was sent
}

// A slab is the memory of one run. Each packet has room for a Geneve header in
// front of it, whether it gets one or not.
type slab struct {
	packets [maxSegments][]byte // beginning with the headroom
	data    []byte              // allocated for the first packet that has to wait
	used    int                 // bytes of data
}

// keep returns a copy of packet, with headroom.
func (s *slab) keep(packet []byte, p *coalescePlan) []byte {
	if s.data == nil {
		s.data = make([]byte, p.maxBytes+p.maxSegments*geneve.HeaderLen)
	}
	end := s.used + geneve.HeaderLen + len(packet)
	kept := s.data[s.used:end:end]
	copy(kept[geneve.HeaderLen:], packet)
	s.used = end
	return kept
}

// A queueCall is the result of a call of queue so far.
type queueCall struct {
	n   int
	err error
}

// queue is coalescer.queue. The caller holds mu.
func (l *lane) queue(p *coalescePlan, bufs [][]byte, offset int, dst *Destination, vni geneve.VNI) (int, error) {
	q := l.coalescer
	if err := checkOffset(bufs, offset, vni); err != nil {
		return 0, &SendError{Op: "check", Remote: dst.remote, Err: err}
	}
	var c queueCall
	if !l.sends(dst, vni) {
		// What the old source had to suffer is of no use to the new one.
		_, _ = l.flush(flushDestination)
		l.late = nil
	} else if l.plan != p {
		l.flushIn(&c, flushOptions)
	}
	l.dst, l.vni = dst, vni
	c.err, l.late = cmp.Or(c.err, l.late), nil
	if !p.waits() {
		n, err := q.send(bufs, offset, dst, vni)
		return n, cmp.Or(err, c.err)
	}
	l.addAll(&c, p, bufs, offset)
	q.counts.packets.Add(uint64(c.n))
	return c.n, c.err
}

// checkOffset refuses what [Conn.WriteBatch] refuses, before anything is copied.
func checkOffset(bufs [][]byte, offset int, vni geneve.VNI) error {
	if offset < 0 {
		return ErrOffset
	}
	for _, buf := range bufs {
		if len(buf) < offset {
			return ErrOffset
		}
	}
	if vni.IsSet() && offset < geneve.HeaderLen {
		return ErrHeadroom
	}
	return nil
}

// sends reports whether the run may take packets for dst and vni.
func (l *lane) sends(dst *Destination, vni geneve.VNI) bool {
	return l.vni == vni && (l.dst == dst ||
		l.dst != nil && l.dst.local == dst.local && l.dst.ifIndex == dst.ifIndex)
}

// addAll adds packets for l.dst, sends what is complete, and keeps the rest.
func (l *lane) addAll(c *queueCall, p *coalescePlan, bufs [][]byte, offset int) {
	header := 0
	if l.vni.IsSet() {
		header = geneve.HeaderLen
	}
	for i, buf := range bufs {
		size := len(buf) - offset + header
		if reason, ok := l.endsBefore(size, p); ok && !l.flushIn(c, reason) {
			return
		}
		if reason, ok := alone(size, p); ok {
			if !l.sendAlone(c, bufs[i:i+1], offset, reason) {
				return
			}
			continue
		}
		l.add(p, buf, offset, size)
		if reason, ok := l.endsWith(size, p); ok && !l.flushIn(c, reason) {
			return
		}
	}
	c.n += l.keep(p)
}

// endsBefore reports whether the run ends before a packet of the given size,
// and why.
func (l *lane) endsBefore(size int, p *coalescePlan) (flushReason, bool) {
	switch {
	case l.count == 0:
		return 0, false
	case size == 0 || size > l.size:
		return flushSize, true
	case l.bytes+size > p.maxBytes:
		return flushBytes, true
	}
	return 0, false
}

// endsWith reports whether the run ends with its last packet, of the given size,
// and why.
func (l *lane) endsWith(size int, p *coalescePlan) (flushReason, bool) {
	switch {
	case l.count == p.maxSegments:
		return flushSegments, true
	case l.bytes == p.maxBytes:
		return flushBytes, true
	case size < l.size:
		return flushSize, true
	}
	return 0, false
}

// alone reports whether a packet of the given size cannot be with others, and why.
func alone(size int, p *coalescePlan) (flushReason, bool) {
	switch {
	case size == 0:
		return flushSize, true
	case size > p.maxBytes:
		return flushBytes, true
	}
	return 0, false
}

// sendAlone sends the one packet of bufs, while no run is under way. It reports
// whether the call goes on.
func (l *lane) sendAlone(c *queueCall, bufs [][]byte, offset int, reason flushReason) bool {
	l.coalescer.counts.flushes[reason].Add(1)
	n, err := l.coalescer.send(bufs, offset, l.dst, l.vni)
	c.n += n
	if err == nil {
		return true
	}
	c.err = err
	return errors.Is(err, syscall.EMSGSIZE)
}

// add adds a packet of the caller's to the run, where it is, if there is headroom.
func (l *lane) add(p *coalescePlan, buf []byte, offset, size int) {
	if l.count == 0 {
		l.plan, l.slab, l.size = p, p.slabs.Get().(*slab), size
	}
	if offset >= geneve.HeaderLen {
		l.slab.packets[l.count] = buf[offset-geneve.HeaderLen:]
	} else {
		l.slab.packets[l.count] = l.slab.keep(buf[offset:], p)
		l.copied++
	}
	l.count++
	l.bytes += size
}

// keep makes the packets of this call wait, and returns how many those are.
func (l *lane) keep(p *coalescePlan) int {
	n := l.count - l.kept
	if n == 0 {
		return 0
	}
	for i := l.copied; i < l.count; i++ {
		l.slab.packets[i] = l.slab.keep(l.slab.packets[i][geneve.HeaderLen:], p)
	}
	if l.kept == 0 {
		l.since.Store(l.coalescer.runs.Add(1))
		l.arm(p.timeout)
	}
	l.kept, l.copied = l.count, l.count
	l.coalescer.counts.waiting.Add(int64(n))
	return n
}

// flushIn flushes within a call of queue and reports whether the call goes on: it
// does unless packets of its own were not tried.
func (l *lane) flushIn(c *queueCall, reason flushReason) bool {
	own := l.count > l.kept
	n, err := l.flush(reason)
	c.n += n
	if err == nil {
		return true
	}
	c.err = err
	return !own || errors.Is(err, syscall.EMSGSIZE)
}

// flush sends the run, if there is one. n is how many packets of the present call
// were sent; those of earlier calls that were not are lost.
func (l *lane) flush(reason flushReason) (n int, err error) {
	if l.count == 0 {
		return 0, nil
	}
	l.disarm()
	counts := &l.coalescer.counts
	counts.flushes[reason].Add(1)
	sent, err := l.coalescer.send(l.slab.packets[:l.count], geneve.HeaderLen, l.dst, l.vni)
	failed := l.count - sent
	lost := max(0, l.kept-sent)
	if errors.Is(err, syscall.EMSGSIZE) {
		// All were tried. Which failed is not known, but that the last one may be
		// the one that is short enough.
		lost = min(failed, l.kept)
	}
	n = l.count - l.kept - (failed - lost)
	if lost > 0 {
		counts.lost.Add(uint64(lost))
	}
	if l.kept > 0 {
		counts.waiting.Add(-int64(l.kept))
		l.since.Store(0)
	}
	clear(l.slab.packets[:l.count]) // some are the caller's
	l.slab.used = 0
	l.plan.slabs.Put(l.slab)
	l.slab, l.count, l.kept, l.copied, l.size, l.bytes = nil, 0, 0, 0, 0, 0
	return n, err
}

// arm sets the timer. Whoever sets it calls Done once it can do no more.
func (l *lane) arm(timeout time.Duration) {
	l.coalescer.timers.Add(1)
	l.armed = true
	if l.timer == nil {
		l.timer = time.AfterFunc(timeout, l.expire)
	} else {
		l.timer.Reset(timeout)
	}
}

func (l *lane) disarm() {
	if !l.armed {
		return
	}
	l.armed = false
	if l.timer.Stop() {
		l.coalescer.timers.Done()
	} else {
		l.stale++ // the function waits for mu
	}
}

// expire is what the timer runs.
func (l *lane) expire() {
	defer l.coalescer.timers.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stale > 0 {
		l.stale--
		return
	}
	l.armed = false
	_, l.late = l.flush(flushTimeout)
}
