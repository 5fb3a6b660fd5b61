// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"strings"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

// Stats returns the counters of the queue, of all sockets that it had. A message is
// a packet. Rx.Overflow are packets that found the receive ring full or no frame
// free, or were too large. Rx.Dropped has the reasons of package frame, and other_host (Ethernet
// address of somebody else), not_ours (address or port that this host does not
// have any more), empty (no bytes), slab (larger than the caller's slab) and unread
// (in the ring of a socket that was closed, or when the Conn was closed). Tx.Dropped
// has device: the device was busy. What was sent through the kernel's sockets is in
// their counters only.
func (c *Conn) Stats() batching.Stats {
	sock := c.socketStats()
	s := batching.Stats{
		Rx: batching.RxStats{
			Packets: c.rx.packets.Load(), Bytes: c.rx.bytes.Load(), Calls: c.rx.calls.Load(),
			Overflow: sock.Dropped(),
			Dropped:  make(map[string]uint64, drops-1),
		},
		Tx: batching.TxStats{
			Packets: c.tx.packets.Load(), Bytes: c.tx.bytes.Load(), Calls: c.tx.calls.Load(), Waits: c.tx.waits.Load(),
			Dropped: map[string]uint64{"device": sock.TxDropped},
		},
	}
	s.Rx.Messages, s.Tx.Messages = s.Rx.Packets, s.Tx.Packets
	s.Rx.PacketsPerCall, s.Tx.PacketsPerCall = histogram(&c.rx.perCall), histogram(&c.tx.perCall)
	s.Rx.PacketsPerMessage[0], s.Tx.PacketsPerMessage[0] = s.Rx.Packets, s.Tx.Packets
	for reason := 1; reason < drops; reason++ {
		s.Rx.Dropped[labelOf(dropName(reason))] = c.rx.dropped[reason].Load()
	}
	return s
}

// socketStats returns the counters of all sockets that the queue had.
func (c *Conn) socketStats() xsk.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	sums := c.sums
	if c.counted != nil {
		st := c.counted.sock.Stats()
		addStats(&sums, &st)
	}
	return sums
}

// labelOf returns a name as metrics write it.
func labelOf(name string) string { return strings.ReplaceAll(name, "-", "_") }

func histogram(from *[len(batching.Histogram{})]atomic.Uint64) (h batching.Histogram) {
	for i := range from {
		h[i] = from[i].Load()
	}
	return h
}
