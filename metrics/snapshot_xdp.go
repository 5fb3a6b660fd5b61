// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// An XDP describes the AF_XDP sockets beside the UDP sockets of the peers, through
// which packets go past the kernel.
type XDP struct {
	Interface string // used or waited for; "auto" while none is known
	Active    bool   // packets are received past the kernel
	Attach    string // of the program: native or generic, "" while not active
	Restarts  uint64 // times that it became active again
	// Queues are those that there may be.
	Queues []XDPQueue
	// Program counts the frames of the interface by what the program decided, Kernel
	// the packets that were sent through the kernel's sockets instead, by reason.
	Program, Kernel []Count
}

// An XDPQueue is a queue of the interface. Bytes are those of Ethernet frames.
type XDPQueue struct {
	Queue    int
	Active   bool // has a socket
	ZeroCopy bool
	// Receive and Transmit are what came from the kernel and was given to it.
	Receive, Transmit Traffic
	// Completed are the packets that the kernel has sent, Dropped those that the
	// device dropped.
	Completed, Dropped uint64
	// RxWakes and TxWakes are system calls that woke the kernel, TxSpared hand-overs
	// that needed none, TxAgain calls that the kernel had no room for.
	RxWakes, TxWakes, TxSpared, TxAgain uint64
	// RxBad and TxBad are entries of the receive and of the completion ring that name
	// no frame.
	RxBad, TxBad uint64
	// RxTooLong are those of Statistics.RxDropped that were longer than a frame of
	// memory takes.
	RxTooLong uint64
	// Statistics are XDP_STATISTICS.
	Statistics XDPStatistics
}

// XDPStatistics are what the kernel counts for an AF_XDP socket (struct xdp_statistics
// in linux/if_xdp.h).
type XDPStatistics struct {
	RxDropped, RxRingFull, RxFillRingEmpty uint64
	TxRingEmpty                            uint64
	RxInvalid, TxInvalid                   uint64 // descriptors
}
