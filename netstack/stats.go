// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"math/bits"
	"sync/atomic"
)

// histogramSize is enough for batches of up to 128: buckets 1, 2-3, … 64-127, 128.
const histogramSize = 8

// Histogram counts batches by size: element i those of 2^i to 2^(i+1)-1
// packets, the last one all larger ones too.
type Histogram [histogramSize]uint64

func histogramBucket(n int) int {
	return min(bits.Len(uint(n)), histogramSize) - 1
}

// Stats is a snapshot of what a [Device] has done since it was made. Counters
// only grow; they are not read at one instant.
type Stats struct {
	Queues  []QueueStats // outbound, by queue
	Inbound InboundStats
	TCP     TCPStats
	UDP     UDPStats
	Echo    EchoStats
	Ports   TCPRequestStats // to the host's own addresses, by OpenTCPPort
	Transit TCPRequestStats // to others
}

// QueueStats is what one outbound queue has done.
type QueueStats struct {
	Packets      uint64 // read, after splitting
	Bytes        uint64 // of these packets, IP headers included
	Superpackets uint64 // that became more than one packet
	Reads        uint64 // that returned
	Batches      Histogram
	Waits        uint64 // times a sender had to wait for room

	Depth      int // packets and superpackets in the ring now
	DepthBytes int

	DropsFull   uint64 // replies and handshakes that found the reserve full
	DropsSlab   uint64 // longer than the slab they were read into
	DropsClosed uint64 // sent after Close
}

// InboundStats is what Write has done.
type InboundStats struct {
	Packets   uint64 // taken
	Bytes     uint64 // of these packets, IP headers included
	Delivered uint64 // packets and superpackets the stack was given for them
	Writes    uint64 // calls of Write and WriteTo
	Batches   Histogram

	DropsShort      uint64 // shorter than the headers they claim
	DropsVersion    uint64 // neither IPv4 nor IPv6
	DropsLength     uint64 // lengths that contradict each other
	DropsIPChecksum uint64 // IPv4 header
	DropsChecksum   uint64 // TCP or UDP
	DropsAddress    uint64 // not to an address of the device, or from one; without transit
	DropsSource     uint64 // in transit, from an address that nobody has beyond the tunnel
	DropsClosed     uint64 // written after Close
}

// TCPStats is the stacks' view of TCP, transit included.
type TCPStats struct {
	Established uint64 // connections now
	Retransmits uint64 // segments sent again
	Timeouts    uint64 // retransmission timers that ran out
	ResetsSent  uint64
	ResetsSeen  uint64
}

// inboundCounters are written once per Write.
type inboundCounters struct {
	packets, bytes, delivered, writes atomic.Uint64
	batches                           [histogramSize]atomic.Uint64
	drops                             [numDropReasons]atomic.Uint64
}

// Stats returns the counters. It may be called after Close.
func (d *Device) Stats() Stats {
	in := &d.in
	ip := d.stack.Stats().IP
	s := Stats{
		Queues: make([]QueueStats, len(d.queues)),
		Inbound: InboundStats{
			Packets:         in.packets.Load(),
			Bytes:           in.bytes.Load(),
			Delivered:       in.delivered.Load(),
			Writes:          in.writes.Load(),
			Batches:         load(&in.batches),
			DropsShort:      in.drops[dropShort].Load(),
			DropsVersion:    in.drops[dropVersion].Load(),
			DropsLength:     in.drops[dropLength].Load(),
			DropsIPChecksum: in.drops[dropIPChecksum].Load(),
			DropsChecksum:   in.drops[dropTCPUDPSum].Load(),
			DropsAddress:    ip.InvalidDestinationAddressesReceived.Value() + ip.InvalidSourceAddressesReceived.Value(),
			DropsSource:     in.drops[dropSource].Load(),
			DropsClosed:     in.drops[dropInboundClosed].Load(),
		},
		TCP:     d.tcpStats(),
		UDP:     d.udpStats(),
		Echo:    d.echoStats(),
		Ports:   d.portTCP.stats(),
		Transit: d.transitTCP.stats(),
	}
	for i, q := range d.queues {
		c := &q.stats
		depth, depthBytes, waits := q.ring.depth()
		s.Queues[i] = QueueStats{
			Packets:      c.packets.Load(),
			Bytes:        c.bytes.Load(),
			Superpackets: c.superpackets.Load(),
			Reads:        c.reads.Load(),
			Batches:      load(&c.batches),
			Waits:        waits,
			Depth:        depth,
			DepthBytes:   depthBytes,
			DropsFull:    c.dropFull.Load(),
			DropsSlab:    c.dropSlab.Load(),
			DropsClosed:  c.dropClosed.Load(),
		}
	}
	return s
}

// tcpStats adds up what the stacks count.
func (d *Device) tcpStats() (s TCPStats) {
	for _, of := range []*ipStack{d.ipStack, d.foreign.Load()} {
		if of == nil {
			continue
		}
		tcp := of.stack.Stats().TCP
		s.Established += tcp.CurrentEstablished.Value()
		s.Retransmits += tcp.Retransmits.Value()
		s.Timeouts += tcp.Timeouts.Value()
		s.ResetsSent += tcp.ResetsSent.Value()
		s.ResetsSeen += tcp.ResetsReceived.Value()
	}
	return s
}

func load(h *[histogramSize]atomic.Uint64) (out Histogram) {
	for i := range h {
		out[i] = h[i].Load()
	}
	return out
}
