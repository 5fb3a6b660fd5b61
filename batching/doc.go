// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package batching reads and writes UDP datagrams many at a time. A [Conn] is
// one socket of one address family, a [Group] several of them on one port. Package
// peers opens a group for IPv4 and one for IPv6; anything else that moves many
// datagrams may use it too.
//
//	c, err := batching.Listen("udp4", netip.MustParseAddrPort("0.0.0.0:51820"), nil)
//	n, err := c.ReadBatch(slab, pkts)                 // one reader goroutine
//	n, err := c.WriteBatch(bufs, offset, dst, vni)    // any number of goroutines
//
// # Words
//
// A packet is one UDP datagram as it is on the wire. A message is what one entry
// of sendmmsg(2) or recvmmsg(2) carries: one packet, or several of equal size of
// which the last may be shorter. The kernel cuts such a message into packets on
// the way out (GSO, UDP_SEGMENT) and merges packets into one on the way in (GRO,
// UDP_GRO); the size is the message's segment size. A run is a sequence of
// packets that fit one message. A batch is what one call of ReadBatch or
// WriteBatch carries. A slot is the room that one message is received into. The
// headroom is the bytes in front of a packet, up to the offset.
//
// # Sending
//
// WriteBatch makes runs of consecutive packets, each run one message that points
// at the caller's packets, and sends all messages with one system call. Nothing
// is copied and the order is kept. With a VNI the Geneve header is written into
// the headroom and counts as part of the packet.
//
// What a path cannot do with segmented messages is remembered in the
// [Destination], not in the socket. EIO (a transform such as IPsec on the way
// out, or a device without checksum offload before Linux 6.11), and EINVAL or
// EMSGSIZE (a segment larger than the path MTU; EINVAL before Linux 6.14) send
// the same packets again one by one, once. If that works, the destination gets
// its packets one by one until Options.GSORetry has passed.
//
// Linux 7.0 to 7.1.4 and some hypervisors corrupt segmented messages whose packets
// are all equally long. Where a probe over the loopback interface shows it, or
// Options.Sentinel says so, such a message ends in a packet of one byte that
// receivers of WireGuard drop, and short runs are not segmented.
//
// Packets are sent without the "don't fragment" bit, and what is larger than the
// path MTU is fragmented, as the kernel's WireGuard does (IP_PMTUDISC_DONT).
// wireguard-go leaves Linux's default, which sets the bit on what fits the known
// MTU: a path with a smaller one then depends on ICMP that firewalls drop.
//
// # Holding back
//
// [Conn.Queue] is for callers that send packets one by one. With a
// Options.FlushTimeout it copies them into one run per remote address and sends
// that when it is complete, when something comes that does not fit in, and at the
// latest after that time. It is off by default: a packet held back is late, and
// without pacing on top TCP suffers (see coalescer.go).
//
// # Receiving
//
// The caller's slab is divided into slots; a datagram that fits its slot is
// described where it landed. What does not fit continues in a ring of the Conn,
// is made whole there and copied out, in this call and, when slab or descriptors
// are full, in the following ones (see deliver.go). How large slots are follows
// the traffic: a few of 64 KiB while GRO delivers bulk, so that bulk is never
// copied; 64 of about 2 KiB while messages are small, so that one system call
// brings up to 64 of them.
// Options.GROSlot fixes the size instead.
//
// Nothing that arrives makes ReadBatch fail: truncated, empty and inconsistent
// messages are dropped and counted.
//
// # Groups
//
// The kernel gives all packets of one remote address to the same member of a
// [Group] (SO_REUSEPORT), so that a flow keeps its order and members are read in
// parallel. Members can be added and given up while packets arrive: those that
// leave are steered around and read empty first. The port of a group cannot be
// taken by a second one by accident: the first member is bound alone.
//
// # Changing options
//
// [Conn.Reconfigure] applies to an open socket whatever [Listen] does, but for
// DisableBatching and GSORetry. What is held back is sent first. GRO is switched
// off by the reader in a moment when the socket is empty (see gro_linux.go).
//
// # Memory
//
// Packet bytes are borrowed for the duration of a call. WriteBatch may overwrite
// bufs[i][:offset] and reads the rest; ReadBatch may write anywhere in the slab,
// also outside the packets it describes. Neither keeps a reference. A Conn owns
// about 25 KiB, its ring (4.2 MB of address space outside the Go heap, of which a
// page is used only once a part of a message larger than its slot was written
// there), and for each concurrent WriteBatch about 25 KiB from a pool. Queue holds
// at most 256 runs of at most 64 KiB for a Conn. The steady state allocates
// nothing.
//
// # Concurrency
//
// Everything is safe for concurrent use. Reading and writing share no lock.
// Concurrent WriteBatch calls enter the kernel in parallel; their packets
// interleave, those of one call keep their order. Concurrent ReadBatch calls
// take turns. A Conn has no goroutines; the flush of packets that waited for the
// FlushTimeout runs in that of its timer, and Close waits for it. Stats takes no
// lock that a packet waits for.
//
// # Platforms
//
// Everything above is Linux. Elsewhere, where the kernel refuses these system
// calls, and with Options.DisableBatching, a Conn has the same behaviour with one
// datagram for each system call; outside Linux it neither knows nor sets local
// addresses.
package batching
