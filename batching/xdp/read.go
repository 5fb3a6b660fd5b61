// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

// readFrames is how many frames a Conn borrows from its socket at a time.
const readFrames = batching.MaxBatch

// downPause is how long a reader rests whose interface is down.
const downPause = 100 * time.Millisecond

// Reasons to drop what was received, besides those of package frame.
const (
	dropOtherHost = int(frame.Reasons) + iota // Ethernet address of somebody else
	dropNotOurs                               // address or port that is not ours any more
	dropEmpty                                 // no bytes
	dropSlab                                  // larger than the caller's slab
	dropUnread                                // nobody read it before the socket closed
	drops
)

// dropName returns the reason as counters name it.
func dropName(reason int) string {
	switch reason {
	case dropOtherHost:
		return "other_host"
	case dropNotOurs:
		return "not_ours"
	case dropEmpty:
		return "empty"
	case dropSlab:
		return "slab"
	case dropUnread:
		return "unread"
	}
	return frame.Reason(reason).String()
}

// reading is the reading side of a Conn.
type reading struct {
	mu     sync.Mutex // held by the reader, also while it waits
	frames []xsk.Frame
	// What is between next and end has been received and not delivered; from lent
	// it.
	next, end int
	from      *lane
	datagram  frame.Datagram

	packets, bytes, calls atomic.Uint64
	perCall               [len(batching.Histogram{})]atomic.Uint64
	dropped               [drops]atomic.Uint64
}

// ReadBatch receives packets into slab and describes them in pkts; see
// [batching.Conn.ReadBatch]. The payload is copied out of the frame, which goes
// back to the kernel before the call returns. Frames that are no datagram for this
// host are dropped and counted.
//
// While the queue has no socket it waits for one. The error is [net.ErrClosed]
// after Close of the Conn or the Underlay, [io.ErrShortBuffer] when slab or pkts is
// empty, or [os.ErrDeadlineExceeded].
func (c *Conn) ReadBatch(slab []byte, pkts []batching.Packet) (n int, err error) {
	if len(slab) == 0 || len(pkts) == 0 {
		return 0, io.ErrShortBuffer
	}
	rx := &c.rx
	rx.mu.Lock()
	defer rx.mu.Unlock()
	for {
		if n = c.deliver(slab, pkts); n > 0 {
			return n, nil
		}
		l, err := c.await()
		if err != nil {
			return 0, err
		}
		got, err := l.sock.BatchRead(rx.frames[:min(len(pkts), len(rx.frames))])
		rx.next, rx.end, rx.from = 0, got, l
		if err == nil {
			continue
		}
		if err = c.readFailed(l, err); err != nil {
			return 0, err
		}
	}
}

// readFailed decides what a failed read of l means. It returns the error that ends
// the ReadBatch, if any.
func (c *Conn) readFailed(l *lane, err error) error {
	_, changed, wait, over := c.look()
	switch {
	case errors.Is(err, net.ErrClosed):
		c.ended(l)
	case over != nil:
		return over
	case errors.Is(err, os.ErrDeadlineExceeded):
		if !l.leaving.Load() {
			return os.ErrDeadlineExceeded // which was changed meanwhile
		}
		c.ended(l)
	default:
		// The interface is down or gone. The Underlay sees to it; what comes when
		// it is up again is read as ever.
		if wait == 0 || wait > downPause {
			wait = downPause
		}
		pause(changed, wait)
	}
	return nil
}

// deliver copies the datagrams out of received frames until slab or pkts is full,
// and gives the frames back.
func (c *Conn) deliver(slab []byte, pkts []batching.Packet) (n int) {
	rx := &c.rx
	if rx.next == rx.end {
		return 0
	}
	first := rx.next
	var bytes uint64
	site := rx.from.site
	host := site.host.Load()
	port := uint16(c.under.last.Load())
	for ; rx.next < rx.end && n < len(pkts); rx.next++ {
		data := rx.frames[rx.next].Data
		d := &rx.datagram
		if reason := c.accept(d, data, site, host, port); reason != int(frame.OK) {
			rx.dropped[reason].Add(1)
			continue
		}
		if d.Size > len(slab)-int(bytes) {
			if n > 0 {
				break
			}
			rx.dropped[dropSlab].Add(1)
			continue
		}
		copy(slab[bytes:], data[d.Offset:d.Offset+d.Size])
		p := &pkts[n]
		p.Offset, p.Size = int(bytes), d.Size
		p.Remote, p.Local, p.IfIndex = d.Src, d.Dst.Addr(), uint32(site.index)
		if a := d.Src.Addr(); a.IsLinkLocalUnicast() && a.Is6() {
			p.Remote = netip.AddrPortFrom(a.WithZone(site.name), d.Src.Port())
		}
		bytes += uint64(d.Size)
		n++
	}
	// An error would mean a frame that this Conn does not hold.
	_ = rx.from.sock.Release(rx.frames[first:rx.next])
	if n > 0 {
		rx.packets.Add(uint64(n))
		rx.bytes.Add(bytes)
		rx.calls.Add(1)
		rx.perCall[batching.Histogram{}.Bucket(n)].Add(1)
	}
	return n
}

// accept parses a frame and checks that it is for this host: the program looks at
// neither Ethernet address nor changes of a moment ago.
func (c *Conn) accept(d *frame.Datagram, data []byte, s *site, h *host, port uint16) int {
	if reason := d.Parse(data); reason != frame.OK {
		return int(reason)
	}
	if d.Target != h.mac {
		return dropOtherHost
	}
	if _, ours := h.addrs[d.Dst.Addr()]; !ours || d.Dst.Port() != port || d.Tag.VLAN() != s.tag.VLAN() {
		return dropNotOurs
	}
	if d.Size == 0 {
		return dropEmpty
	}
	return int(frame.OK)
}

// forget drops what was received and not delivered. The caller holds mu.
func (rx *reading) forget() {
	if rx.next == rx.end {
		return
	}
	rx.dropped[dropUnread].Add(uint64(rx.end - rx.next))
	_ = rx.from.sock.Release(rx.frames[rx.next:rx.end])
	rx.next = rx.end
}

// discard drops what nobody has read of l.
func (rx *reading) discard(l *lane) {
	frames := make([]xsk.Frame, readFrames)
	for {
		n, err := l.sock.Receive(frames)
		if n == 0 || err != nil {
			return
		}
		rx.dropped[dropUnread].Add(uint64(n))
		_ = l.sock.Release(frames[:n])
	}
}
