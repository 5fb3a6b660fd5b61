// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package tunwrap puts itself between wireguard-go and a [tun.Device]: the host
// side of the router. It reads kernel TUN queues in batches, which wireguard-go
// does not, and counts what passes.
//
// The engine calls [Create] for a kernel TUN, [FromFiles] for a descriptor that
// was passed to the program, or [Wrap] for any other device, and hands the
// [Device] to wireguard-go. A wrapped device keeps all its queues.
//
// # Batched reads
//
// A read(2) on a TUN gives one packet. Alone, each small packet crosses the
// whole pipeline by itself: peer lookup, container, encryption worker, sender
// and sendmmsg. [Device.Read] waits in the poller for the first packet and then
// reads on without waiting until there is no more, the slab or the descriptors
// are full. It never waits for a batch to fill; an idle device pays for it one
// read(2) that finds nothing, under half a microsecond. TCP and UDP superpackets
// (GSO) are cut into segments with [tun.GSOSplit]. A packet is never lost because
// slab or descriptors ran out: what does not fit comes with the next call.
//
// A batch holds no more segments of superpackets than fit one UDP message of the
// network side; see drain.go.
//
// On other systems, for devices without a virtio header and for queues without
// a descriptor the wrapped device reads; [Stats] tell which and why.
//
// # Merged writes
//
// A batch that is written to a kernel TUN is first planned: which packets of it are
// consecutive TCP segments of a flow, or UDP packets of a flow of equal size, and can
// go as one superpacket, with packets of other flows between them or not. The rules
// are the kernel's own for merging what a network card receives, so that it cuts
// the superpacket again into the same packets, to the byte; only the identification
// of IPv4 packets that may not be fragmented, which means nothing, becomes another.
// Checksums are verified before. Each superpacket, and each packet alone, is one
// writev(2), without a copy, and without the scheduler being told.
//
// Packets of one flow (protocol, addresses, ports) are written in the order in which
// they were given. Flows may pass each other inside one call of WriteTo. Fragments,
// packets of other protocols, with IP options or with extension headers pass nothing
// and are passed by nothing.
//
// Some kernels refuse superpackets in a TUN (EINVAL; Linux 6.6.44 and others). One that
// is accepted reaches the host, so there is no probe but the first use: the packets of
// one that was refused are written one by one, and if all of them are taken, that
// protocol is not merged for a minute ([Options].MergeRetry). UDP needs Linux 6.2.
// [Stats] tell.
//
// To a device without a virtio header, and on other systems, the wrapped device
// writes.
//
// # Queues
//
// A flow of packets stays in order if it stays on one queue, because each queue is
// read by a goroutine of its own.
//
// Reading: where the kernel lets us, a small program chooses the queue by a hash of
// the destination address (TUNSETSTEERINGEBPF). So all packets to one address, and to
// a peer that has one, are read by one goroutine. Else the kernel steers: a
// flow's packets come from the queue that its other direction was written to last, in
// the last 3 s, and from one that a hash chooses before; so early packets of a flow
// may be overtaken. Loading the program needs CAP_BPF, or CAP_SYS_ADMIN before Linux
// 5.8, or a kernel with kernel.unprivileged_bpf_disabled = 0; the interface
// Linux 4.16. [Stats] say which it is and why.
//
// What is read from two queues for one peer (of several addresses) passes through
// that peer's staging queue in wireguard-go, which any reader empties. There one
// container of packets can still overtake another, also of one flow.
//
// Writing: WriteTo takes the queue by flow id, which wireguard-go makes of the peer:
// one peer's packets are written to one queue, by one goroutine. Which one does
// not matter for the order, and with steering by destination for nothing else.
//
// # Packet memory
//
// Slabs are the caller's. Read fills one under the rules of [tun.Reader], with
// [tun.ReadPacketSpacing] bytes before, between and behind packets, and keeps no
// part of it. A batched queue owns a carry buffer of 64 KiB for the one packet
// that did not fit. WriteTo lends the packets to the kernel, or to the wrapped device,
// for the call; where packets are merged it changes the headers of the first. A plan
// with its iovecs, 14 KB, comes from a pool and keeps no pointer to packets.
//
// # Concurrency
//
// One goroutine per queue reads, any number write; everything else is safe for
// concurrent use. The Device owns one goroutine, which forwards events and ends
// in [Device.Close], when the wrapped device has closed its event channel.
//
// # Up and down
//
// Events are those of the wrapped device. For a kernel TUN with a virtio header
// wireguard-go sends [tun.EventUp] as soon as the device exists, before the
// interface is up, and does not notice when it goes down: its probe, an empty
// write, is refused for its length before the kernel looks at the state of the
// interface (tun_get_user, drivers/net/tun.c). So the router's sockets open
// early and stay open, as wireguard-go's do. Packets written meanwhile are
// dropped and counted as [WriteDrops].Down. When wireguard-go's monitor of the
// link fails (a netlink socket that overflows), its own reads fail and its device
// closes; batched reads go on, only changes of the MTU are no longer announced.
//
// # Network namespaces
//
// An interface may be moved to another network namespace while it is open.
// Reads and writes do not depend on it; Name and MTU are asked for by descriptor
// and follow it. Changes of the MTU are announced only while it is in the
// namespace that it was made in. The deletion of the interface ends reads with
// [os.ErrClosed].
package tunwrap
