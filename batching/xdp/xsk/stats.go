// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import "sync/atomic"

// Stats are counters of a socket since it was opened.
type Stats struct {
	RxPackets, RxBytes uint64 // received frames and their bytes
	RxBad              uint64 // descriptors of the kernel that name no frame it has
	RxWakes            uint64 // system calls because the fill ring asked for one

	TxPackets, TxBytes uint64 // frames handed to the kernel and their bytes
	TxCompleted        uint64 // frames that the kernel has given back
	TxBad              uint64 // completions of the kernel that name no frame it has
	TxWakes            uint64 // system calls because the transmit ring asked for one
	TxSpared           uint64 // hand-overs that needed no system call
	TxAgain            uint64 // system calls that ended with EAGAIN or ENOBUFS
	TxDropped          uint64 // system calls that ended with EBUSY: the device dropped a packet

	Kernel Kernel
}

// Kernel is XDP_STATISTICS, what the kernel has counted for the socket. All are
// numbers of packets or descriptors.
type Kernel struct {
	RxDropped   uint64 // dropped for other reasons than a full ring, such as too large
	RxBadDescs  uint64 // entries of the fill ring that are no frame
	TxBadDescs  uint64 // entries of the transmit ring that are no frame
	RxRingFull  uint64 // dropped because the receive ring was full
	RxFillEmpty uint64 // times that the fill ring had no frame for a packet
	TxRingEmpty uint64 // times that the transmit ring was found empty
}

// counters is what Stats reads without a lock.
type counters struct {
	rxPackets, rxBytes, rxBad, rxWakes                atomic.Uint64
	txPackets, txBytes, txCompleted, txBad, txDropped atomic.Uint64
	txWakes, txSpared, txAgain                        atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		RxPackets: c.rxPackets.Load(), RxBytes: c.rxBytes.Load(), RxBad: c.rxBad.Load(), RxWakes: c.rxWakes.Load(),
		TxPackets: c.txPackets.Load(), TxBytes: c.txBytes.Load(), TxCompleted: c.txCompleted.Load(), TxBad: c.txBad.Load(),
		TxWakes: c.txWakes.Load(), TxSpared: c.txSpared.Load(), TxAgain: c.txAgain.Load(), TxDropped: c.txDropped.Load(),
	}
}
