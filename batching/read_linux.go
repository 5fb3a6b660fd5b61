// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"os"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// A reader receives with recvmmsg. It belongs to the ReadBatch whose turn it is.
type reader struct {
	msgs     [maxSlots]unix.Mmsghdr
	iovs     [maxSlots][2]unix.Iovec
	names    [maxSlots]sys.Sockaddr
	controls [maxSlots][sys.RecvControlSpace]byte

	backlog  backlog
	traffic  traffic
	zones    zones
	overflow uint32 // the last SO_RXQ_OVFL
	slot     atomic.Int32
	gro      groSwitch
	detached bool // it left its group, and no packet finds it any more

	// recv fills msgs, waiting for the first; n is at least 1 without an error.
	// Tests replace it.
	recv func(msgs []unix.Mmsghdr) (n int, err error)
	// poll is recv without waiting; the error is a bare number, EAGAIN when there
	// is nothing.
	poll func(msgs []unix.Mmsghdr) (n int, err error)
}

// A receiving is the arguments and results of recvmmsg while it runs as a
// callback of the network poller: a closure would be allocated for each call.
type receiving struct {
	msgs  []unix.Mmsghdr
	n     int
	errno unix.Errno
	call  func(fd uintptr) (done bool)
	now   func(fd uintptr)
}

func (r *reader) init(c *Conn) error {
	// Not from the heap: there, 4.2 MB count as used, and are used once they are
	// cleared for a second Conn. A mapping has pages only where it was written to,
	// and small ones if the kernel can be told.
	ring, err := unix.Mmap(-1, 0, maxSlots*ringSlot, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	_ = unix.Madvise(ring, unix.MADV_NOHUGEPAGE) // unknown without huge pages
	r.backlog.ring = ring
	rc := new(receiving)
	rc.call = func(fd uintptr) bool {
		for {
			rc.n, rc.errno = sys.RecvMMsg(int(fd), rc.msgs, unix.MSG_DONTWAIT)
			if rc.errno != unix.EINTR {
				return rc.errno != unix.EAGAIN
			}
		}
	}
	r.recv = func(msgs []unix.Mmsghdr) (int, error) {
		rc.msgs = msgs
		err := c.raw.Read(rc.call)
		rc.msgs = nil
		if err == nil && rc.errno != 0 {
			err = os.NewSyscallError("recvmmsg", rc.errno)
		}
		return rc.n, err
	}
	rc.now = func(fd uintptr) { rc.call(fd) }
	r.poll = func(msgs []unix.Mmsghdr) (int, error) {
		rc.msgs = msgs
		err := c.raw.Control(rc.now)
		rc.msgs = nil
		if err == nil && rc.errno != 0 {
			err = rc.errno
		}
		return rc.n, err
	}
	r.gro.c = c
	return nil
}

// close gives back the ring. No ReadBatch has its turn, then or later.
func (r *reader) close() error {
	r.backlog.reset()
	ring := r.backlog.ring
	r.backlog.ring = nil
	return os.NewSyscallError("munmap", unix.Munmap(ring))
}

func (r *reader) read(slab []byte, pkts []Packet, t *tally) (n int, err error) {
	bytes, copied, tooLong := r.backlog.bytes, r.backlog.copied, r.backlog.tooLong
	for n == 0 {
		if r.backlog.empty() {
			if err := r.receive(slab, len(pkts), t); err != nil {
				return 0, err
			}
		}
		n = r.backlog.deliver(slab, pkts)
	}
	t[cellPackets] += uint64(n)
	t[cellBytes] += r.backlog.bytes - bytes
	t[rxCopied] += r.backlog.copied - copied
	t[rxSlab] += r.backlog.tooLong - tooLong
	return n, nil
}

// receive fills the backlog with what one recvmmsg brings. The backlog is empty
// before, and may be afterwards.
func (r *reader) receive(slab []byte, maxPackets int, t *tally) error {
	r.backlog.reset()
	r.zones.age()
	r.traffic.fixed = int(r.slot.Load())
	offered, size := r.traffic.slots(len(slab), maxPackets)
	r.prepare(slab, offered, size)
	n, err := r.next(offered)
	for i := range offered {
		r.iovs[i][0].Base = nil // the slab is the caller's again
	}
	if err != nil {
		return err
	}
	packets, bytes := 0, 0
	for i := range n {
		packets += r.accept(i, slab, size, t)
		bytes += int(min(r.msgs[i].Len, maxMessage))
	}
	t.call(packets)
	r.traffic.observe(n, packets, bytes)
	return nil
}

// roomFor returns the room for a message in a slot of the given size and, unless
// that holds any message, its continuation in the ring.
func roomFor(size int) int {
	if size >= maxMessage {
		return size
	}
	return ringSlot
}

// prepare makes headers for n slots of the given size at the start of slab.
func (r *reader) prepare(slab []byte, n, size int) {
	more, stride := roomFor(size)-size, stride(size)
	for i := range n {
		v := &r.iovs[i]
		h := &r.msgs[i].Hdr
		v[0].Base = &slab[i*stride]
		v[0].SetLen(size)
		h.Iov = &v[0]
		h.SetIovlen(1)
		if more > 0 {
			v[1].Base = &r.backlog.ring[i*ringSlot+size]
			v[1].SetLen(more)
			h.SetIovlen(2)
		}
		h.Name = &r.names[i][0]
		h.Namelen = uint32(len(r.names[i]))
		h.Control = &r.controls[i][0]
		h.SetControllen(len(r.controls[i]))
		h.Flags = 0
	}
}

// accept puts message i, received into a slot of the given size, into the
// backlog, or drops it. It returns the number of packets in it.
func (r *reader) accept(i int, slab []byte, size int, t *tally) (packets int) {
	room := roomFor(size)
	h, n := &r.msgs[i].Hdr, int(min(r.msgs[i].Len, uint32(room+1)))
	var c sys.Control
	err := c.Parse(r.controls[i][:min(uint64(h.Controllen), sys.RecvControlSpace)])
	if c.HasOverflow {
		// The sum wraps after 2^32, the difference does not.
		t[rxOverflow] += uint64(c.Overflow - r.overflow)
		r.overflow = c.Overflow
	}
	remote, scope, known := r.names[i].Get(int(h.Namelen))
	segment, sane := segmentSize(n, c.Segment)
	switch {
	case h.Flags&unix.MSG_TRUNC != 0 || n > room:
		t[rxTruncated]++
	case err != nil || h.Flags&unix.MSG_CTRUNC != 0:
		// The segment size may be what is missing.
		t[rxControl]++
	case !known:
		t[rxSource]++
	case n == 0 && !r.gro.c.any:
		t[rxEmpty]++
	case n > 0 && !sane:
		t[rxSegmentSize]++
	default:
		m := r.backlog.add()
		at := i * stride(size)
		*m = message{slot: i, off: at, len: n, inSlab: true, start: at, end: at + n, size: segment}
		if n > size { // the ring has the rest
			m.off, m.inSlab = i*ringSlot, false
			copy(r.backlog.ring[m.off:], slab[at:][:size])
		}
		if scope != 0 {
			remote = r.zones.with(remote, scope)
		}
		m.remote, m.local, m.ifIndex = remote, answerable(c.Local), c.IfIndex
		if c.Segment > n {
			t[rxLongSegments]++
		}
		packets = 1
		if m.empty = n == 0; m.empty {
			m.inSlab = false // there is nothing of it
		} else {
			packets = segments(n, segment)
		}
		t.message(packets)
	}
	return packets
}
