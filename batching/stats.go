// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"math/bits"
	"sync/atomic"
)

// histogramBuckets is enough for 1, 2, 4, … 128 and more.
const histogramBuckets = 9

// A Histogram counts events by a size from 1 up. Bucket i counts the sizes above
// 1<<(i-1) up to 1<<i; the last one everything above 64<<1.
type Histogram [histogramBuckets]uint64

// Bucket returns the index of the bucket of a size.
func (Histogram) Bucket(n int) int { return bucket(n) }

// Bound returns the largest size in bucket i; the last has none and yields 0.
func (Histogram) Bound(i int) int {
	if i == histogramBuckets-1 {
		return 0
	}
	return 1 << i
}

// total returns the number of events.
func (h Histogram) total() (n uint64) {
	for _, k := range h {
		n += k
	}
	return n
}

// bucket returns the bucket of n. Nothing (n = 0) belongs with 1.
func bucket(n int) int {
	return min(bits.Len(uint(max(n, 1)-1)), histogramBuckets-1)
}

// Stats is a snapshot of the counters of a [Conn]. Counters only grow. Bytes are
// those of packets without their UDP and IP headers, with their Geneve header.
type Stats struct {
	Rx RxStats
	Tx TxStats
	// Queue counts what [Conn.Queue] held back; all zero while it never did.
	Queue CoalescerStats
	// Memory is what the buffers of the socket hold now; nil when the kernel does
	// not tell.
	Memory *Memory
}

// Memory is the SO_MEMINFO of a socket, in bytes but for Drops.
type Memory struct {
	ReceiveQueued uint32 // rmem_alloc: received, not read yet, with the kernel's overhead
	ReceiveBuffer uint32 // rcvbuf: the limit of that
	SendQueued    uint32 // wmem_alloc: sent, not left the host yet
	SendBuffer    uint32 // sndbuf: the limit of that
	Forward       uint32 // fwd_alloc: reserved for what comes next
	WriteQueued   uint32 // wmem_queued: of no use for UDP
	Options       uint32 // optmem: filters and control messages
	Backlog       uint32 // backlog: arrived while the socket was locked
	Drops         uint32 // drops: packets that found no room, since the socket was opened; wraps
}

// RxStats counts what was received.
type RxStats struct {
	// Packets and Bytes were handed to callers of [Conn.ReadBatch].
	Packets, Bytes uint64
	// Messages and Calls are the entries of recvmmsg(2), and the calls that
	// brought at least one.
	Messages, Calls uint64
	// Copied counts the packets, out of Packets, that did not land in the
	// caller's slab and were copied.
	Copied uint64
	// LongSegments counts messages with a segment size larger than the message.
	// They are one packet each.
	LongSegments uint64
	// Overflow counts packets that the kernel dropped because the receive buffer
	// was full, or their UDP checksum wrong. What GRO had merged counts as one.
	Overflow uint64
	// Dropped counts messages (slab: packets) that were received and not handed
	// on, by reason: truncated (larger than the room for it), control (malformed
	// or missing control messages), segment_size (a negative one), source (not an
	// address of the family), empty (no bytes), slab (a packet larger than the
	// caller's slab).
	Dropped map[string]uint64
	// PacketsPerCall counts calls by the packets they brought, PacketsPerMessage
	// messages by the packets GRO had merged in them.
	PacketsPerCall, PacketsPerMessage Histogram
}

// TxStats counts what was sent.
type TxStats struct {
	// Packets and Bytes were taken by the kernel.
	Packets, Bytes uint64
	// Messages and Calls are the entries of sendmmsg(2) that the kernel took, and
	// the calls that took at least one.
	Messages, Calls uint64
	// Waits counts the calls that found the send buffer full.
	Waits uint64
	// Sentinels counts the packets of one byte that were added, and are in none
	// of the others (see [Options.Sentinel]).
	Sentinels uint64
	// Fallbacks counts messages that were refused as segmented and sent again
	// otherwise, by reason: eio, einval and emsgsize (one packet each, see the
	// package comment), segments (fewer segments, for the kernels that count
	// headers).
	Fallbacks map[string]uint64
	// Dropped counts packets that were not sent, by reason: too_long (EMSGSIZE),
	// no_buffers (ENOBUFS, ENOMEM, EAGAIN), denied (EPERM, EACCES), unreachable
	// (ENETUNREACH, EHOSTUNREACH, ENETDOWN), source (EINVAL, EADDRNOTAVAIL: the
	// local address is not one of the host, or has no route), closed, other.
	Dropped map[string]uint64
	// PacketsPerCall counts calls by the packets they took, PacketsPerMessage
	// messages by their segments.
	PacketsPerCall, PacketsPerMessage Histogram
}

// overflow returns the drops of the socket up to now. What was read with the last
// packet lags behind: the kernel tells then what it dropped before that one. Both are
// the same counter (sk_drops), the other one without its upper half.
func (s *Stats) overflow() uint64 {
	n := s.Rx.Overflow
	if m := s.Memory; m != nil {
		if more := int32(m.Drops - uint32(n)); more > 0 {
			n += uint64(more)
		}
	}
	return n
}

// A cell is the index of one counter. The first ones count the same in both
// directions.
type cell int

const (
	cellPackets cell = iota
	cellBytes
	cellPerCall                                     // histogramBuckets cells
	cellPerMessage = cellPerCall + histogramBuckets // likewise
	cellCommon     = cellPerMessage + histogramBuckets
)

const (
	rxCopied cell = cellCommon + iota
	rxLongSegments
	rxOverflow
	rxTruncated // from here on: Dropped
	rxControl
	rxSegmentSize
	rxSource
	rxEmpty
	rxSlab
	numRxCells
)

const (
	txWaits cell = cellCommon + iota
	txSentinels
	txEIO // from here on: Fallbacks
	txEINVAL
	txEMSGSIZE
	txSegments
	txTooLong // from here on: Dropped
	txNoBuffers
	txDenied
	txUnreachable
	txSource
	txClosed
	txOther
	numTxCells
)

// txReasons are the names of the cells from txTooLong on.
var txReasons = [numTxCells - txTooLong]string{"too_long", "no_buffers", "denied", "unreachable", "source", "closed", "other"}

const numCells = max(numRxCells, numTxCells)

// A tally is what one call counts: no atomics, and added to the counters once.
type tally [numCells]uint64

// call counts one system call that moved n packets.
func (t *tally) call(n int) {
	t[cellPerCall+cell(bucket(n))]++
}

// message counts one message of n packets.
func (t *tally) message(n int) {
	t[cellPerMessage+cell(bucket(n))]++
}

// counters are the atomic sums of the tallies of one direction. They fill cache
// lines of their own: two, because processors fetch lines in pairs.
type counters struct {
	_     [128]byte
	cells [numCells]atomic.Uint64
	_     [128]byte
}

// add adds t. Most cells of a tally are 0 and are not touched.
func (c *counters) add(t *tally) {
	for i, n := range t {
		if n != 0 {
			c.cells[i].Add(n)
		}
	}
}

func (c *counters) load() (t tally) {
	for i := range t {
		t[i] = c.cells[i].Load()
	}
	return t
}

func (t *tally) histogram(at cell) (h Histogram) {
	copy(h[:], t[at:])
	return h
}

// named returns the cells from at on under the given names.
func (t *tally) named(at cell, names ...string) map[string]uint64 {
	m := make(map[string]uint64, len(names))
	for i, name := range names {
		m[name] = t[at+cell(i)]
	}
	return m
}

func (c *counters) rxStats() RxStats {
	t := c.load()
	return RxStats{
		Packets: t[cellPackets], Bytes: t[cellBytes], Messages: t.histogram(cellPerMessage).total(), Calls: t.histogram(cellPerCall).total(),
		Copied: t[rxCopied], LongSegments: t[rxLongSegments], Overflow: t[rxOverflow],
		Dropped:           t.named(rxTruncated, "truncated", "control", "segment_size", "source", "empty", "slab"),
		PacketsPerCall:    t.histogram(cellPerCall),
		PacketsPerMessage: t.histogram(cellPerMessage),
	}
}

func (c *counters) txStats() TxStats {
	t := c.load()
	return TxStats{
		Packets: t[cellPackets], Bytes: t[cellBytes], Messages: t.histogram(cellPerMessage).total(), Calls: t.histogram(cellPerCall).total(), Waits: t[txWaits], Sentinels: t[txSentinels],
		Fallbacks:         t.named(txEIO, "eio", "einval", "emsgsize", "segments"),
		Dropped:           t.named(txTooLong, txReasons[:]...),
		PacketsPerCall:    t.histogram(cellPerCall),
		PacketsPerMessage: t.histogram(cellPerMessage),
	}
}
