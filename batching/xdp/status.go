// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import "github.com/tunrouter/tunrouter/batching/xdp/xsk"

// Status describes an [Underlay] at one moment. Counters only grow, also when the
// underlay starts anew.
type Status struct {
	// Interface and Index are what is used or waited for; empty and 0 while there
	// is none.
	Interface string
	Index     int
	// Active tells whether frames are received past the kernel; Reason why not.
	Active bool
	Reason string
	// Attach is "native" or "generic"; empty while not active. Refusals are the
	// modes and queues that the kernel refused when it was attached last, and why.
	Attach   string
	Refusals []string
	// Queues has one entry for each Conn.
	Queues []QueueStatus
	// Kernel counts packets that were handed to the kernel's sockets to be sent, by
	// reason: inactive, full (no frame became free), too_long (for the route's
	// MTU), link_local, down, bulk (sent as one message), invalid, and the reasons of package nexthop.
	Kernel map[string]uint64
	// Program counts the frames that the interface received by what the program
	// decided, see redirect.Verdict.
	Program map[string]uint64
	// Restarts counts how often the underlay became active, but for the first
	// time.
	Restarts uint64
}

// QueueStatus describes one queue.
type QueueStatus struct {
	// Queue is the index of the interface's queue.
	Queue int
	// Active tells whether the queue has a socket.
	Active bool
	// ZeroCopy tells whether the device reads and writes the frames itself.
	ZeroCopy bool
	// Socket are the counters of all sockets that the queue had.
	Socket xsk.Stats
}

// addStats adds the counters of b to a.
func addStats(a *xsk.Stats, b *xsk.Stats) {
	a.RxPackets += b.RxPackets
	a.RxBytes += b.RxBytes
	a.RxBad += b.RxBad
	a.RxTooLong += b.RxTooLong
	a.RxWakes += b.RxWakes
	a.TxPackets += b.TxPackets
	a.TxBytes += b.TxBytes
	a.TxCompleted += b.TxCompleted
	a.TxBad += b.TxBad
	a.TxWakes += b.TxWakes
	a.TxSpared += b.TxSpared
	a.TxAgain += b.TxAgain
	a.TxDropped += b.TxDropped
	a.Kernel.RxDropped += b.Kernel.RxDropped
	a.Kernel.RxBadDescs += b.Kernel.RxBadDescs
	a.Kernel.TxBadDescs += b.Kernel.TxBadDescs
	a.Kernel.RxRingFull += b.Kernel.RxRingFull
	a.Kernel.RxFillEmpty += b.Kernel.RxFillEmpty
	a.Kernel.TxRingEmpty += b.Kernel.TxRingEmpty
}
