// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"cmp"
	"net"
	"time"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// SetSend replaces the system call that sends. Call it before anything else.
func (c *Conn) SetSend(f func(msgs []unix.Mmsghdr, wait bool) (int, error)) {
	c.engine.writer.send = func(b *writeBatch, first, last int, wait bool) (int, error) {
		return f(b.msgs[first:last], wait)
	}
}

// SetReceive replaces the system call that receives.
func (c *Conn) SetReceive(f func(msgs []unix.Mmsghdr) (int, error)) { c.engine.reader.recv = f }

// ReadOverflow returns the drops that packets have told of.
func (c *Conn) ReadOverflow() uint64 { return c.rx.rxStats().Overflow }

// OverflowOf is what the stats say of drops that packets have told of, and those that
// the socket has now.
func OverflowOf(read uint64, now *Memory) uint64 {
	return (&Stats{Rx: RxStats{Overflow: read}, Memory: now}).overflow()
}

// Adopt makes a Conn of a socket that was opened elsewhere, which it owns.
func Adopt(network string, udp *net.UDPConn, o *Options) (*Conn, error) {
	opts := o.withDefaults()
	c := &Conn{network: network, log: opts.Logger, gsoRetry: opts.GSORetry, now: time.Now, opts: opts}
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, err
	}
	var f features
	if ctlErr := raw.Control(func(fd uintptr) { f, err = configure(int(fd), network, &opts) }); ctlErr != nil || err != nil {
		return nil, cmp.Or(ctlErr, err)
	}
	return c, c.start(udp, &f, false)
}

// Name and Control are what messages to d point at.
func (d *Destination) Name() []byte { return d.raw.name[:d.raw.nameLen] }
func (d *Destination) Control() []byte {
	return d.raw.control[:d.raw.pktinfoLen]
}

// A Batch prepares messages as a writer does.
type Batch struct{ b *writeBatch }

func NewBatch() *Batch { return &Batch{newWriteBatch()} }

func (b *Batch) Prepare(bufs [][]byte, from int, dst *Destination) []unix.Mmsghdr {
	n := b.b.prepare(bufs, from, limits{packets: maxSegments, bytes: maxPayload4}, dst)
	return b.b.msgs[:n]
}

// Release is release. Pointers counts the references to foreign memory.
func (b *Batch) Release() { b.b.release() }

func (b *Batch) Pointers() (n int) {
	for i := range b.b.msgs {
		h := &b.b.msgs[i].Hdr
		if h.Name != nil {
			n++
		}
		if h.Control != nil {
			n++
		}
		if b.b.iovs[i].Base != nil {
			n++
		}
	}
	return n
}

// SlabPointers counts the references of c's reader to slabs.
func (c *Conn) SlabPointers() (n int) {
	for i := range c.engine.reader.iovs {
		if c.engine.reader.iovs[i][0].Base != nil {
			n++
		}
	}
	return n
}

const RecvControlSpace = sys.RecvControlSpace

// Sockopt reads an option of the socket.
func (c *Conn) Sockopt(level, opt int) (value int, err error) {
	ctlErr := c.raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, opt) })
	return value, cmp.Or(ctlErr, err)
}

// ProbeTails is probeTails, Arrives is arrives.
func ProbeTails(network string) (intact, known bool) { return probeTails(network) }
func Arrives(fd int, message []byte) bool            { return arrives(fd, message) }

const ProbeSize = probeSize
