// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
	"github.com/tunrouter/tunrouter/geneve"
)

// writeFrames is how many frames are handed to the kernel at a time.
const writeFrames = 64

// fullTime is how long a WriteBatch waits for a frame to become free. In a device
// that works one does after microseconds.
const fullTime = 20 * time.Millisecond

// sending is the writing side of a Conn.
type sending struct {
	closed  atomic.Bool
	scratch sync.Pool // of *[writeFrames]xsk.Frame

	mu   sync.Mutex // guards ways
	ways map[wayKey]*way

	packets, bytes, calls, waits atomic.Uint64
	perCall                      [len(batching.Histogram{})]atomic.Uint64
	kernel                       [whys]atomic.Uint64 // packets left to the kernel's sockets
}

// WriteBatch sends the packets bufs[i][offset:] to dst, in order; see
// [batching.Conn.WriteBatch]. What can go past the kernel does. From the first
// packet on that cannot, all go through the socket that [Underlay.Beside] told of,
// whose errors are returned.
//
// Unlike those of a [batching.Conn], packets that were taken may still be lost when
// the interface goes down: the socket counts what it hands to the kernel.
func (c *Conn) WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n int, err error) {
	if c.tx.closed.Load() {
		return 0, net.ErrClosed
	}
	n, why := c.send(bufs, offset, dst, vni)
	if n == len(bufs) {
		return n, nil
	}
	c.tx.kernel[why].Add(uint64(len(bufs) - n))
	k := c.beside(dst)
	if k == nil {
		return n, net.ErrClosed
	}
	m, err := k.WriteBatch(bufs[n:], offset, dst, vni)
	return n + m, err
}

// Queue is WriteBatch: nothing is held back.
func (c *Conn) Queue(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n int, err error) {
	return c.WriteBatch(bufs, offset, dst, vni)
}

// beside returns the kernel's socket for dst; nil when there is none.
func (c *Conn) beside(dst *batching.Destination) Kernel {
	all := c.under.kernel.Load()
	if all == nil {
		return nil
	}
	list := all.v6
	if dst.Remote().Addr().Is4() {
		list = all.v4
	}
	if len(list) == 0 {
		return nil
	}
	return list[c.queue%len(list)]
}

// send sends the first n packets past the kernel, and says why not the others.
func (c *Conn) send(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n, why int) {
	l := c.lane.Load()
	if l == nil {
		return 0, whyInactive
	}
	w, why := c.way(l, dst)
	if w == nil {
		return 0, why
	}
	if !valid(bufs, offset, vni) {
		return 0, whyInvalid
	}
	if l.segment && c.under.segments() && w.bulky(bufs, c.under.began) {
		return 0, whyBulk
	}
	frames, _ := c.tx.scratch.Get().(*[writeFrames]xsk.Frame)
	if frames == nil {
		frames = new([writeFrames]xsk.Frame)
	}
	defer c.tx.scratch.Put(frames)
	why = int(nexthop.OK)
	for n < len(bufs) && why == int(nexthop.OK) {
		var m int
		m, why = c.sendSome(l, w, frames[:min(len(bufs)-n, writeFrames)], bufs[n:], offset, vni)
		n += m
	}
	return n, why
}

// sendSome sends the first n packets, at most as many as frames hold.
func (c *Conn) sendSome(l *lane, w *way, frames []xsk.Frame, bufs [][]byte, offset int, vni geneve.VNI) (n, why int) {
	got, why := c.alloc(l, frames)
	if why != int(nexthop.OK) {
		return 0, why
	}
	filled, bytes := 0, 0
	for ; filled < got; filled++ {
		size, reason := w.put(&frames[filled], bufs[filled], offset, vni)
		if why = reason; why != int(nexthop.OK) {
			break
		}
		bytes += size
	}
	n, err := l.sock.Transmit(frames[:filled])
	if n < filled {
		bytes = payloadBytes(bufs[:n], offset, vni)
	}
	switch {
	case err != nil:
		why = whyDown
	case n == 0 && filled > 0:
		why = whyFull
	}
	if n < got {
		_ = l.sock.Free(frames[n:got]) // nothing of them left
	}
	if n > 0 {
		c.tx.packets.Add(uint64(n))
		c.tx.bytes.Add(uint64(bytes))
		c.tx.calls.Add(1)
		c.tx.perCall[batching.Histogram{}.Bucket(n)].Add(1)
	}
	return n, why
}

// valid reports whether the packets are as the contract wants them. One that is not
// means that none is sent.
func valid(bufs [][]byte, offset int, vni geneve.VNI) bool {
	if offset < 0 || vni.IsSet() && offset < geneve.HeaderLen {
		return false
	}
	for _, b := range bufs {
		if len(b) < offset {
			return false
		}
	}
	return true
}

// alloc borrows frames, at least one. It waits a little for one to become free.
func (c *Conn) alloc(l *lane, frames []xsk.Frame) (n, why int) {
	n, err := l.sock.Alloc(frames)
	if n > 0 {
		return n, int(nexthop.OK)
	}
	if err != nil {
		return 0, whyInactive
	}
	c.tx.waits.Add(1)
	if l.sock.SetWriteDeadline(time.Now().Add(fullTime)) != nil {
		return 0, whyInactive
	}
	switch err := l.sock.WaitWrite(); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, whyFull
	case errors.Is(err, net.ErrClosed):
		return 0, whyInactive
	case err != nil:
		return 0, whyDown
	}
	if n, err = l.sock.Alloc(frames); n == 0 || err != nil {
		return 0, whyFull // another one was quicker
	}
	return n, int(nexthop.OK)
}

// put writes the frame of one packet and returns the bytes of its UDP payload.
func (w *way) put(f *xsk.Frame, buf []byte, offset int, vni geneve.VNI) (size, why int) {
	payload := buf[offset:]
	if len(payload) > w.room(vni) {
		return 0, whyTooLong
	}
	n, err := w.template.Put(f.Data, uint16(w.id.Add(1)), vni, payload)
	if err != nil { // a VNI that is none, or larger than a frame of the UMEM
		return 0, whyTooLong
	}
	f.Data = f.Data[:n]
	size = len(payload)
	if vni.IsSet() {
		size += geneve.HeaderLen
	}
	return size, int(nexthop.OK)
}

func payloadBytes(bufs [][]byte, offset int, vni geneve.VNI) (n int) {
	for _, b := range bufs {
		n += len(b) - offset
		if vni.IsSet() {
			n += geneve.HeaderLen
		}
	}
	return n
}
