// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"os"

	"github.com/tailscale/wireguard-go/conn"
)

// maxWrite is the most packets that are given to the wrapped device at once: its
// tables for merging are made for so many flows.
const maxWrite = conn.IdealBatchSize

// Write is [Device.WriteTo] with flow 0.
func (d *Device) Write(bufs [][]byte, offset int) (int, error) {
	return d.WriteTo(0, bufs, offset)
}

// WriteTo writes the packets bufs[i][offset:] to the queue that flow belongs to
// and returns how many of them the device took. Empty ones are skipped. For a
// kernel device offset must be at least 10; wireguard-go's is 16. The bytes
// before offset are the callee's during the call, and headers may be changed
// where packets are merged; nothing is kept.
//
// Packets that the kernel refuses are dropped and counted, see [WriteDrops], and
// are no error: what is in them is the peer's doing. An error is that of the
// device, [os.ErrClosed] when it is closed or deleted, or of the arguments.
func (d *Device) WriteTo(flow int, bufs [][]byte, offset int) (int, error) {
	c := &d.writers[uint(flow)%uint(len(d.writers))]
	if d.closed.Load() {
		c.drop(dropClosed, bufs, offset)
		return 0, os.ErrClosed
	}
	written, bytes := 0, 0
	var err error
	for len(bufs) > 0 && err == nil {
		run, size := runOf(bufs, offset)
		if run == 0 {
			c.empty.Add(1)
			bufs = bufs[1:]
			continue
		}
		var n, b int
		if first, many := d.merge(bufs[:run], offset); first > 0 {
			run, size = runOf(bufs[:first], offset) // what is before goes first
		} else if many > 1 {
			run, size = runOf(bufs[:many], offset)
			if d.giveMerged(c, flow, bufs[:run], offset) {
				written += run
				bytes += size
				bufs = bufs[run:]
				continue
			}
		}
		n, b, err = d.writeRun(c, flow, bufs[:run], size, offset)
		written += n
		bytes += b
		bufs = bufs[run:]
	}
	if written > 0 {
		c.packets.Add(uint64(written))
		c.bytes.Add(uint64(bytes))
		c.writes.Add(1)
		c.batches[bucket(written)].Add(1)
		if d.down.Load() && d.down.CompareAndSwap(true, false) {
			d.log.Info("tun device takes packets again")
		}
	}
	if errors.Is(err, os.ErrClosed) {
		c.drop(dropClosed, bufs, offset)
	} else {
		c.drop(dropOther, bufs, offset)
	}
	return written, err
}

// runOf returns how many packets at the start of bufs can be written at once,
// and their bytes.
func runOf(bufs [][]byte, offset int) (run, size int) {
	for _, b := range bufs[:min(len(bufs), maxWrite)] {
		if len(b) <= offset {
			break
		}
		size += len(b) - offset
		run++
	}
	return run, size
}

// writeRun writes packets of size bytes together, none of them empty, counts
// those that were dropped, and returns the number and bytes of the others.
func (d *Device) writeRun(c *writeCounters, flow int, bufs [][]byte, size, offset int) (packets, bytes int, err error) {
	n, err := d.give(c, flow, bufs, offset)
	if err == nil && (d.bytes || n >= len(bufs)) {
		return len(bufs), size, nil
	}
	if d.closed.Load() {
		err = os.ErrClosed
	}
	reason, failed, transient := dropOther, 0, false
	if d.bytes {
		reason, failed, transient = classifyWrite(err)
	} else if errors.Is(err, os.ErrClosed) {
		reason = dropClosed
	}
	var l loss
	if d.bytes {
		l = lost(bufs, offset, d.header, n, failed)
	} else {
		for _, b := range bufs[min(max(n, 0), len(bufs)):] {
			l.add(1, len(b)-offset)
		}
	}
	if err != nil {
		c.errors.Add(uint64(max(failed, 1)))
	}
	c.dropped[reason].Add(uint64(l.packets))
	if transient {
		d.tell(reason, err)
		err = nil
	}
	return len(bufs) - l.packets, size - l.bytes, err
}

// merge returns the first of the packets, none of them empty, from which on many
// can be written as one superpacket; 0, 0 when there are none.
func (d *Device) merge(bufs [][]byte, offset int) (first, many int) {
	if len(bufs) == 1 || d.directs == nil || offset < virtioHeaderLen || d.apart.Load() {
		return 0, 0
	}
	for i := range bufs {
		if n := mergeable(bufs[i:], offset); n > 1 {
			return i, n
		}
	}
	return 0, 0
}

// direct returns the direct writer of the queue that flow belongs to.
func (d *Device) direct(flow int) *directWriter {
	return &d.directs[uint(flow)%uint(len(d.directs))]
}

// giveMerged writes packets as one superpacket. When it could not, they are as they
// were, and wireguard-go's way will tell why.
func (d *Device) giveMerged(c *writeCounters, flow int, bufs [][]byte, offset int) bool {
	_, err, ok := d.direct(flow).merged(bufs, offset)
	if err != nil || !ok {
		return false
	}
	c.merged.Add(uint64(len(bufs)))
	return true
}

// give gives packets, none of them empty, to the queue that flow belongs to.
func (d *Device) give(c *writeCounters, flow int, bufs [][]byte, offset int) (int, error) {
	if len(bufs) == 1 && d.directs != nil && offset >= virtioHeaderLen {
		n, err, ok := d.direct(flow).single(bufs[0], offset)
		if ok {
			if err == nil {
				c.single.Add(1)
			}
			return n, err
		}
	}
	return d.writeTo(flow, bufs, offset)
}

// tell logs that writes fail: each time the interface goes down, and once in the
// life of the device for any other reason, which a peer could bring about as
// often as it likes.
func (d *Device) tell(reason writeDrop, err error) {
	if reason == dropDown {
		if !d.down.Swap(true) {
			d.log.Warn("tun device is down, packets for it are dropped", "err", err)
		}
		return
	}
	if !d.told[reason].Swap(true) {
		d.log.Warn("tun device refused packets; more are only counted", "err", err)
	}
}

// drop counts packets that were not given to the device at all.
func (c *writeCounters) drop(reason writeDrop, bufs [][]byte, offset int) {
	for _, b := range bufs {
		if len(b) > offset {
			c.dropped[reason].Add(1)
		} else {
			c.empty.Add(1)
		}
	}
}
