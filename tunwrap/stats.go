// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"math/bits"
	"sync/atomic"
)

// BatchBuckets is the number of buckets of a [Histogram].
const BatchBuckets = 8

// A Histogram counts batches by their size: bucket i those of 2^i to 2^(i+1)-1
// packets, the last one all larger ones too.
type Histogram [BatchBuckets]uint64

func bucket(n int) int { return min(bits.Len(uint(n)), BatchBuckets) - 1 }

// Stats is a snapshot of the counters of a [Device]. All of them only grow.
// The counters of one queue are read one after the other, so sums over them may
// be off by a batch in progress.
type Stats struct {
	// QueuesRequested is what [Options] asked for; len(Queues) is what there is.
	// For a device that was only wrapped both are what it has.
	QueuesRequested int
	Queues          []QueueStats

	// Steering says who chooses the queue that a packet is read from,
	// SteeringReason why it is the kernel.
	Steering       Steering
	SteeringReason string

	// TCPMerging and UDPMerging say whether packets are merged when written.
	TCPMerging MergeState
	UDPMerging MergeState
}

// Steering is how packets are spread over the queues that they are read from.
type Steering string

// The ways of steering.
const (
	// SteeringNone: there is one queue, or it is not the kernel that has them.
	SteeringNone Steering = "none"
	// SteeringDestination: all packets to one address come from one queue.
	SteeringDestination Steering = "destination"
	// SteeringKernel: a flow comes from the queue that its other direction was
	// written to last, and until there is one, from any.
	SteeringKernel Steering = "kernel"
)

// A MergeState says whether packets of a protocol are merged when written.
type MergeState struct {
	Off    bool   // they are not, at present
	Reason string // why
}

// QueueStats are the counters of one queue.
type QueueStats struct {
	// Batched reports whether the queue is read by draining it; if not, Plain
	// says why the wrapped device reads it.
	Batched bool
	Plain   string
	Read    ReadStats
	Write   WriteStats
}

// ReadStats counts what was read from a queue.
type ReadStats struct {
	Packets uint64 // delivered to the caller; segments, where there were superpackets
	Bytes   uint64 // of these packets
	Reads   uint64 // calls that delivered packets
	Batches Histogram

	// Of a batched queue only:
	Syscalls     uint64 // read(2) calls, those that found nothing included
	Superpackets uint64 // packets that the kernel left to be cut into segments
	Carried      uint64 // times a packet or a rest of one waited for the next call

	Dropped ReadDrops
}

// ReadDrops counts packets that were read, or could have been, and dropped.
type ReadDrops struct {
	Malformed uint64 // virtio header and packet do not fit together, or no packet
	Truncated uint64 // longer than an IP packet can be
	Oversized uint64 // no room even in an empty slab: the caller's is too small
	Refused   uint64 // the kernel dropped it because it could not describe it
}

// WriteStats counts what was written. The queue of a write is its flow id modulo
// the number of queues, as wireguard-go's devices have it.
type WriteStats struct {
	Packets uint64 // taken by the wrapped device
	Bytes   uint64 // of these packets
	Writes  uint64 // calls that wrote packets
	Batches Histogram

	// Of a kernel device with a virtio header only:
	Single uint64 // of these packets, those that went to the kernel alone
	TCP    MergeStats
	UDP    MergeStats

	Empty   uint64 // slots without a byte, skipped
	Errors  uint64 // writes that failed, each of one or more packets
	Dropped WriteDrops
}

// MergeStats counts what was merged of one protocol.
type MergeStats struct {
	Packets      uint64 // that went to the kernel in superpackets
	Superpackets uint64
	Fallbacks    uint64 // superpackets that the kernel refused and whose packets it then took
}

// WriteDrops counts packets that were not written. The sum with Packets and Empty
// is always what the caller gave.
type WriteDrops struct {
	Down     uint64 // the interface is down (EIO)
	Invalid  uint64 // the kernel did not accept the packet (EINVAL)
	NoBuffer uint64 // no memory or queue space (ENOMEM, ENOBUFS, EAGAIN)
	Closed   uint64 // the device is closed or was deleted
	Other    uint64
}

// Total returns the sum over all reasons.
func (d *ReadDrops) Total() uint64 { return d.Malformed + d.Truncated + d.Oversized + d.Refused }

// Total returns the sum over all reasons.
func (d *WriteDrops) Total() uint64 {
	return d.Down + d.Invalid + d.NoBuffer + d.Closed + d.Other
}

// cacheLine separates counters that different goroutines write. 128 bytes
// because amd64 fetches lines in pairs and arm64 has lines of that size.
const cacheLine = 128

// readCounters are written by the goroutine that reads the queue, at most once
// each per batch.
type readCounters struct {
	_                                        [cacheLine]byte
	packets, bytes, reads                    atomic.Uint64
	batches                                  [BatchBuckets]atomic.Uint64
	syscalls, superpackets, carried          atomic.Uint64
	malformed, truncated, oversized, refused atomic.Uint64
	_                                        [cacheLine]byte
}

func (c *readCounters) batch(packets, bytes int) {
	c.packets.Add(uint64(packets))
	c.bytes.Add(uint64(bytes))
	c.reads.Add(1)
	c.batches[bucket(packets)].Add(1)
}

func (c *readCounters) add(t *tally) {
	add(&c.syscalls, t.syscalls)
	add(&c.superpackets, t.superpackets)
	add(&c.carried, t.carried)
	add(&c.malformed, t.malformed)
	add(&c.truncated, t.truncated)
	add(&c.oversized, t.oversized)
	add(&c.refused, t.refused)
}

func (c *readCounters) snapshot() ReadStats {
	return ReadStats{
		Packets:      c.packets.Load(),
		Bytes:        c.bytes.Load(),
		Reads:        c.reads.Load(),
		Batches:      histogram(&c.batches),
		Syscalls:     c.syscalls.Load(),
		Superpackets: c.superpackets.Load(),
		Carried:      c.carried.Load(),
		Dropped: ReadDrops{
			Malformed: c.malformed.Load(),
			Truncated: c.truncated.Load(),
			Oversized: c.oversized.Load(),
			Refused:   c.refused.Load(),
		},
	}
}

// writeDrop is a reason for not writing a packet.
type writeDrop int

const (
	dropDown writeDrop = iota
	dropInvalid
	dropNoBuffer
	dropClosed
	dropOther
	writeDrops // number of reasons
)

// writeCounters are written by the goroutines that write with one flow id, at
// most once each per batch.
type writeCounters struct {
	_                      [cacheLine]byte
	packets, bytes, writes atomic.Uint64
	single                 atomic.Uint64
	merged                 [kinds]struct{ packets, superpackets, fallbacks atomic.Uint64 }
	batches                [BatchBuckets]atomic.Uint64
	empty, errors          atomic.Uint64
	dropped                [writeDrops]atomic.Uint64
	_                      [cacheLine]byte
}

func (c *writeCounters) add(r *writeResult) {
	if r.packets > 0 {
		c.packets.Add(uint64(r.packets))
		c.bytes.Add(uint64(r.bytes))
		c.writes.Add(1)
		c.batches[bucket(r.packets)].Add(1)
	}
	add(&c.single, uint64(r.single))
	for k := range r.merged {
		m, to := &r.merged[k], &c.merged[k]
		add(&to.packets, uint64(m.packets))
		add(&to.superpackets, uint64(m.superpackets))
		add(&to.fallbacks, uint64(m.fallbacks))
	}
	add(&c.empty, uint64(r.empty))
	add(&c.errors, uint64(r.errors))
	for reason, n := range r.dropped {
		add(&c.dropped[reason], uint64(n))
	}
}

func (c *writeCounters) mergeStats(k kind) MergeStats {
	m := &c.merged[k]
	return MergeStats{
		Packets:      m.packets.Load(),
		Superpackets: m.superpackets.Load(),
		Fallbacks:    m.fallbacks.Load(),
	}
}

func (c *writeCounters) snapshot() WriteStats {
	return WriteStats{
		Packets: c.packets.Load(),
		Bytes:   c.bytes.Load(),
		Writes:  c.writes.Load(),
		Single:  c.single.Load(),
		TCP:     c.mergeStats(kindTCP),
		UDP:     c.mergeStats(kindUDP),
		Batches: histogram(&c.batches),
		Empty:   c.empty.Load(),
		Errors:  c.errors.Load(),
		Dropped: WriteDrops{
			Down:     c.dropped[dropDown].Load(),
			Invalid:  c.dropped[dropInvalid].Load(),
			NoBuffer: c.dropped[dropNoBuffer].Load(),
			Closed:   c.dropped[dropClosed].Load(),
			Other:    c.dropped[dropOther].Load(),
		},
	}
}

func histogram(b *[BatchBuckets]atomic.Uint64) (h Histogram) {
	for i := range b {
		h[i] = b[i].Load()
	}
	return h
}

// add spares the atomic operation for counters of what is rare.
func add(c *atomic.Uint64, n uint64) {
	if n > 0 {
		c.Add(n)
	}
}

// reasonInner is why packets are not merged here.
const reasonInner = "left to the wrapped device"
