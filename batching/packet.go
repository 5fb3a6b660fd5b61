// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import "net/netip"

// MaxBatch is the number of packets that [Conn.WriteBatch] hands to the kernel
// with one system call, and the number of descriptors that makes
// [Conn.ReadBatch] efficient. It is wireguard-go's conn.IdealBatchSize. More are
// legal.
const MaxBatch = 128

// A Packet describes one packet that [Conn.ReadBatch] put into the slab.
type Packet struct {
	// Offset and Size are where it is in the slab.
	Offset, Size int
	// Remote is the source. An IPv4 address is never in its IPv6 form. The zone
	// of a link-local address is the name of the interface.
	Remote netip.AddrPort
	// Local is the address of this host that it was sent to, without a zone; of
	// a broadcast, the address to answer from. The zero Addr when unknown, or
	// when it is a multicast address, which cannot be answered from.
	Local netip.Addr
	// IfIndex is the interface that it arrived on; 0 when unknown.
	IfIndex uint32
}
