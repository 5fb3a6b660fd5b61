// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import "errors"

// ErrLinkGone means that there is no such interface in the namespace: it was
// deleted, or moved to another one.
var ErrLinkGone = errors.New("hostnet: no such interface")

// LinkStatistics are the counters that the kernel keeps of an interface, as in
// struct rtnl_link_stats64 of linux/if_link.h, which says what each one counts. For
// a TUN device, "received" is what the router has written to it, and "sent" what the
// host sends into the tunnel: TxDropped are packets that the router did not read
// before the device's queue was full. The counters of all of a device's queues are
// in one.
type LinkStatistics struct {
	RxPackets, TxPackets uint64
	RxBytes, TxBytes     uint64
	RxErrors, TxErrors   uint64
	RxDropped, TxDropped uint64
	Multicast            uint64 // received
	Collisions           uint64

	// RxErrors by reason.
	RxLengthErrors, RxOverErrors, RxCRCErrors   uint64
	RxFrameErrors, RxFIFOErrors, RxMissedErrors uint64

	// TxErrors by reason.
	TxAbortedErrors, TxCarrierErrors, TxFIFOErrors uint64
	TxHeartbeatErrors, TxWindowErrors              uint64

	RxCompressed, TxCompressed uint64

	// RxNoHandler counts packets that nothing in the host wanted. It is nil on
	// kernels that do not count them (before Linux 4.6).
	RxNoHandler *uint64
	// RxOtherHostDropped counts packets for another host's link address. It is nil
	// on kernels that do not count them (before Linux 5.19).
	RxOtherHostDropped *uint64
}

// minLinkCounters is how many counters the structure had at its beginning.
const minLinkCounters = 23

// counters are the places for the counters that every kernel has, in the order of
// the kernel's structure.
func (s *LinkStatistics) counters() [minLinkCounters]*uint64 {
	return [...]*uint64{
		&s.RxPackets, &s.TxPackets, &s.RxBytes, &s.TxBytes,
		&s.RxErrors, &s.TxErrors, &s.RxDropped, &s.TxDropped,
		&s.Multicast, &s.Collisions,
		&s.RxLengthErrors, &s.RxOverErrors, &s.RxCRCErrors,
		&s.RxFrameErrors, &s.RxFIFOErrors, &s.RxMissedErrors,
		&s.TxAbortedErrors, &s.TxCarrierErrors, &s.TxFIFOErrors,
		&s.TxHeartbeatErrors, &s.TxWindowErrors,
		&s.RxCompressed, &s.TxCompressed,
	}
}
