// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// TUN counts the host side: what was read from the tunnel device and written to it.
type TUN struct {
	QueuesAsked int
	Queues      []TUNQueue
	Steering    string // none, destination or kernel
	// MergingTCP and MergingUDP say whether packets are merged when written.
	MergingTCP, MergingUDP bool
}

// A TUNQueue is one queue of the tunnel device.
type TUNQueue struct {
	Batched bool
	Read    TUNRead
	Write   TUNWrite
}

// TUNRead counts what was read from a queue.
type TUNRead struct {
	Traffic
	Reads        uint64 // calls that brought packets
	Syscalls     uint64
	Superpackets uint64
	Carried      uint64 // packets, or rests of one, that waited for the next call
	Batches      Histogram
	Dropped      []Count
}

// TUNWrite counts what was written to a queue.
type TUNWrite struct {
	Traffic
	Writes   uint64 // calls that wrote packets
	Single   uint64 // packets that went to the kernel alone
	TCP, UDP TUNMerge
	Empty    uint64 // slots without a byte
	Errors   uint64 // writes that failed
	Batches  Histogram
	// Dropped is empty for a netstack, which tells itself what it did not take.
	Dropped []Count
}

// TUNMerge counts what was merged of one protocol.
type TUNMerge struct{ Packets, Superpackets, Fallbacks uint64 }

// Link is what the kernel counts for the tunnel interface (IFLA_STATS_LINK_64),
// from its point of view: it transmits what the router reads.
type Link struct {
	RxPackets, TxPackets uint64
	RxBytes, TxBytes     uint64
	RxErrors, TxErrors   uint64
	// TxDropped are packets that found the queue of the TUN full.
	RxDropped, TxDropped uint64
	Multicast            uint64 // received
	Collisions           uint64
	// RxErrorsBy and TxErrorsBy are the errors by reason.
	RxErrorsBy, TxErrorsBy []Count
	// RxNoHandler are packets that nothing in the host wanted; nil: not counted.
	RxNoHandler *uint64
}

// Hub counts what passes from peer to peer.
type Hub struct {
	Forwarding string // off, on or isolated
	Traffic
	Batches        Histogram
	Lanes          []HubLane
	Held, MaxBytes int64 // bytes of memory that hold what waits, now and at most
	LocalScope     uint64
	Fragmented     uint64 // packets that were cut
	Fragments      uint64 // into so many
	ICMPSent       uint64
	ICMPLimited    uint64
	// Dropped does not have what the filter denied.
	Dropped []Count
}

// A HubLane is what others sent to one peer.
type HubLane struct {
	PublicKey string
	Traffic
	Full uint64 // packets that found no room
	Held int64  // bytes of memory in use
}

// Filter counts what the packet filter decides.
type Filter struct {
	Rules           []FilterRule // in their order
	Flows, MaxFlows int
	Fragments       int // datagrams that are followed now
	Denied          []Count
	DeniedBytes     uint64
	Evicted         uint64
	TableFull       uint64
}

// A FilterRule is what one rule has matched.
type FilterRule struct {
	Text string
	Traffic
}
