// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"fmt"
	"os"

	"github.com/tailscale/wireguard-go/conn"
)

// maxWrite is the most packets that are planned, or given to the wrapped device, at
// once.
const maxWrite = conn.IdealBatchSize

// errOffset means that the virtio header has no room before the packets.
var errOffset = fmt.Errorf("tunwrap: write with less than %d bytes before the packets", virtioHeaderLen)

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
	var r writeResult
	queue := int(uint(flow) % uint(len(d.writers)))
	var err error
	for len(bufs) > 0 && err == nil {
		some := bufs[:min(len(bufs), maxWrite)]
		switch {
		case d.closed.Load():
			r.drop(dropClosed, some, offset)
			err = os.ErrClosed
		case d.kernel == nil:
			some, err = d.writeInner(flow, some, offset, &r)
		case offset < virtioHeaderLen:
			r.drop(dropOther, some, offset)
			err = errOffset
		default:
			if err = d.kernel[queue].write(some, offset, &r); err != nil && d.closed.Load() {
				err = os.ErrClosed
			}
		}
		bufs = bufs[len(some):]
	}
	reason := dropOther
	if errors.Is(err, os.ErrClosed) {
		reason = dropClosed
	}
	r.drop(reason, bufs, offset)
	d.writers[queue].add(&r)
	if r.packets > 0 && d.down.Load() && d.down.CompareAndSwap(true, false) {
		d.log.Info("tun device takes packets again")
	}
	for reason, cause := range r.causes {
		if cause != nil {
			d.tell(writeDrop(reason), cause)
		}
	}
	return r.packets, err
}

// writeInner has the wrapped device write the packets at the start of bufs, up to an
// empty one, and returns those it is done with.
func (d *Device) writeInner(flow int, bufs [][]byte, offset int, r *writeResult) (done [][]byte, err error) {
	n, size := 0, 0
	for n < len(bufs) && len(bufs[n]) > offset {
		size += len(bufs[n]) - offset
		if n++; d.bytes {
			break
		}
	}
	if n == 0 {
		r.empty++
		return bufs[:1], nil
	}
	taken, err := d.writeTo(flow, bufs[:n], offset)
	if d.bytes {
		// A device that counts bytes gets one packet a call: it takes it or has an error.
		if err == nil {
			r.took(1, size)
			return bufs[:1], nil
		}
		reason, transient := classifyWrite(err)
		if d.closed.Load() {
			reason, transient, err = dropClosed, false, os.ErrClosed
		}
		if transient {
			r.refuse(reason, 1, err)
			return bufs[:1], nil
		}
		r.errors++
		r.dropped[reason]++
		return bufs[:1], err
	}
	taken = min(max(taken, 0), n)
	for _, b := range bufs[taken:n] {
		size -= len(b) - offset
	}
	r.took(taken, size)
	reason := dropOther
	if err != nil {
		r.errors++
		if d.closed.Load() {
			err = os.ErrClosed
		}
		if errors.Is(err, os.ErrClosed) {
			reason = dropClosed
		}
	}
	r.dropped[reason] += n - taken
	return bufs[:n], err
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
