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
// # Direct writes
//
// A packet that is alone in its batch, and TCP segments of one flow that follow each
// other, are written to a kernel TUN here; everything else by wireguard-go, with its
// tables that merge flows that interleave. See direct_linux.go and merge.go.
//
// On other systems, for devices without a virtio header and for queues without
// a descriptor the wrapped device reads; [Stats] tell which and why.
//
// # Packet memory
//
// Slabs are the caller's. Read fills one under the rules of [tun.Reader], with
// [tun.ReadPacketSpacing] bytes before, between and behind packets, and keeps no
// part of it. A batched queue owns a carry buffer of 64 KiB for the one packet
// that did not fit. WriteTo lends the packets to the wrapped device for the call.
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
