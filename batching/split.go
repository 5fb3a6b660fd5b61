// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import "net/netip"

// A message is the rest of one received message: the packets that have not been
// described to a caller yet.
type message struct {
	// slot is the ring slot that belongs to the message, whether its bytes are
	// there or not.
	slot int
	// off and len are where the bytes are: in the caller's slab if inSlab, else
	// in the ring.
	off, len int
	inSlab   bool
	// empty says that the message is one packet without a byte.
	empty bool
	// start and end are the part of the slab that all of the message took up
	// when it arrived there.
	start, end int
	// size is the size of all packets but the last; at least 1.
	size int

	remote  netip.AddrPort
	local   netip.Addr
	ifIndex uint32
}

// segmentSize returns the size of the packets in a message of n > 0 bytes for
// which the kernel reported the segment size gro, 0 when none. It is at most n.
//
// A size larger than the message is one packet: there is no boundary inside it.
// A negative size says nothing about boundaries, and is not ok.
func segmentSize(n, gro int) (size int, ok bool) {
	switch {
	case gro < 0:
		return 0, false
	case gro == 0 || gro > n:
		return n, true
	}
	return gro, true
}

// segments returns the number of packets in n bytes of packets of the given
// size, of which the last may be shorter.
func segments(n, size int) int { return (n + size - 1) / size }

// next returns the size of the first packet of m. m is not empty.
func (m *message) next() int { return min(m.size, m.len) }

// take removes the first n bytes of m.
func (m *message) take(n int) {
	m.off += n
	m.len -= n
}

// describe makes p the description of n bytes at off in the slab.
func (m *message) describe(p *Packet, off, n int) {
	p.Offset, p.Size = off, n
	p.Remote, p.Local, p.IfIndex = m.remote, m.local, m.ifIndex
}

// describeAll describes the packets of m in place, as many as pkts has room for,
// and takes them. It returns how many, and their bytes. m is in the slab.
func (m *message) describeAll(pkts []Packet) (n, bytes int) {
	off := m.off
	for n < len(pkts) && m.len > 0 {
		size := min(m.size, m.len)
		p := &pkts[n]
		p.Offset, p.Size = m.off, size
		p.Remote, p.Local, p.IfIndex = m.remote, m.local, m.ifIndex
		m.off += size
		m.len -= size
		n++
	}
	return n, m.off - off
}
