// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

// An engine is the two halves of a [Conn] that batch. They share nothing.
type engine struct {
	reader reader
	writer writer
}

// init makes e ready. On an error there is nothing to close.
func (e *engine) init(c *Conn) error {
	e.writer.init(c)
	return e.reader.init(c)
}

// close releases what init took. The caller has made sure that nothing is
// called any more.
func (e *engine) close() error { return e.reader.close() }

func (e *engine) read(_ *Conn, slab []byte, pkts []Packet, t *tally) (int, error) {
	return e.reader.read(slab, pkts, t)
}

func (e *engine) write(c *Conn, bufs [][]byte, from int, dst *Destination, t *tally) (int, txResult) {
	return e.writer.write(c, bufs, from, dst, t)
}

// set puts options into force. Before the first call nothing is sent or received.
func (e *engine) set(lim limits, slot int, gro bool) {
	e.writer.limits.Store(&lim)
	e.reader.slot.Store(int32(slot))
	e.reader.gro.want(gro)
}
