// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import "sync/atomic"

// Stats are counters of a socket since it was opened.
type Stats struct {
	RxPackets, RxBytes uint64 // received frames and their bytes
	RxBad              uint64 // descriptors of the kernel that name no frame it has
	RxWakes            uint64 // system calls because the fill ring asked for one
	RxTooLong          uint64 // packets of Dropped that were longer than MaxReceive

	TxPackets, TxBytes uint64 // frames handed to the kernel and their bytes
	TxCompleted        uint64 // frames that the kernel has given back
	TxBad              uint64 // completions of the kernel that name no frame it has
	TxWakes            uint64 // system calls because the transmit ring asked for one
	TxSpared           uint64 // hand-overs that needed no system call
	TxAgain            uint64 // system calls that ended with EAGAIN or ENOBUFS
	TxDropped          uint64 // system calls that ended with EBUSY: the device dropped a packet

	Frames Frames
	Kernel Kernel
}

// Dropped returns how many packets that an XDP program gave to the socket the kernel
// dropped, each counted once, in every mode: RxDropped and RxRingFull, of which
// each drop in net/xdp/xsk.c increments exactly one (Linux 6.18). RxFillEmpty is no
// part of it. In copy mode the kernel counts a packet without a frame there as well;
// in zero-copy mode it counts there how often the driver asked in vain, and what
// the device then drops is in the device's statistics only.
func (s Stats) Dropped() uint64 { return s.Kernel.RxDropped + s.Kernel.RxRingFull }

// Frames says where the frames are at the moment. In each direction the numbers add
// up to those of [Options], and the rings have room for all of them.
type Frames struct {
	RxFilled   int // with the kernel to receive into
	RxReceived int // received and not yet borrowed
	RxBorrowed int
	TxFree     int // for Alloc and BatchWrite
	TxSending  int // with the kernel
	TxSent     int // sent; Complete makes them free
	TxBorrowed int
}

// Kernel is XDP_STATISTICS, what the kernel has counted for the socket, until it was
// closed. All are numbers of packets or descriptors. Before Linux 5.9 the last three
// are 0 and RxDropped has what belongs to RxRingFull.
type Kernel struct {
	RxDropped   uint64 // dropped because too long or, in copy mode, without a frame
	RxBadDescs  uint64 // entries of the fill ring that are no frame
	TxBadDescs  uint64 // entries of the transmit ring that are no frame
	RxRingFull  uint64 // dropped because the receive ring was full
	RxFillEmpty uint64 // times that the fill ring had no frame for a packet
	TxRingEmpty uint64 // times that the transmit ring was found empty
}

// tooLong returns how many of the dropped packets were too long. In copy mode a drop
// for want of a frame is counted twice, in RxFillEmpty and then in RxDropped
// (__xsk_rcv and xp_alloc), one of a packet too long only in the latter
// (xsk_rcv_check). The kernel reads RxDropped first, so that the difference is never
// too large, but may be too small while packets arrive.
func (k *Kernel) tooLong(zeroCopy bool) uint64 {
	if zeroCopy {
		return k.RxDropped
	}
	return k.RxDropped - min(k.RxDropped, k.RxFillEmpty)
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
