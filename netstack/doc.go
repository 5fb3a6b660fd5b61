// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package netstack is a TUN device without a kernel behind it: a TCP/IP stack
// inside the process. [New] returns a [Device], which wireguard-go drives like
// any other [tun.MultiQueueDevice]; [Device.Net] returns its [Net], through
// which the program dials, listens and pings as a host with the device's
// addresses. It needs no privilege and runs wherever Go does.
//
// The engine calls New when the configuration asks for netstack mode. Programs
// that embed the engine use the Net. This is the only package of the module
// that imports gVisor, and nothing of gVisor shows in its API.
//
// # Words
//
// Outbound is from the stack to the tunnel, inbound the other way. A packet is
// one IP packet of at most MTU bytes. A superpacket is what the stack hands out
// or takes in as one piece of up to 64 KiB: outbound TCP that is still to be
// split into packets, inbound TCP segments of one flow joined into one. A run
// is the packets of one Write that become one superpacket. A queue is one
// [tun.Queue] of the device, with the ring that feeds it.
//
// # The way out
//
//	Conn.Write ─ TCP ─ WritePackets ─ ring ─ Read ─ slab (split in place)
//
// The stack hands superpackets to the ring of a queue, chosen by flow so that a
// flow stays in order. A full ring makes the sender wait: nothing is dropped,
// so TCP does not mistake a busy moment for loss. Only what answers an inbound
// packet by itself (ICMP, resets, handshakes) never waits; it has a reserve of
// its own and is dropped and counted when that is full too, so that receiving
// never depends on sending. [Device.Read] takes as many superpackets as the
// slab holds, copies each once to its place and splits it there.
//
// # The way in
//
//	Write ─ check ─ join by flow ─ one copy ─ stack
//
// Each packet's lengths and checksums are checked once, here. TCP segments of
// one flow that follow each other in one [Device.Write] enter the stack as one
// superpacket, which costs one lookup, one lock and one acknowledgement instead
// of up to 45. Joined packets end here and are never forwarded.
//
// # Memory
//
// Read fills the caller's slab and keeps nothing of it. Write copies what it
// takes before it returns; the buffers stay the caller's and are not changed.
// In between, bytes live in gVisor's pooled buffers: the ring holds one
// reference per packet and gives it up when the packet was read or the device
// is closed. The steady state of Read and of the checks and joins of Write
// allocates nothing in this package.
//
// # Concurrency
//
// All methods of [Device], [Net] and the connections may be called by any
// number of goroutines, Close included. The package starts no goroutine of its
// own beyond the lifetime of one DialContext call; the stack has GOMAXPROCS
// workers, which end before [Device.Close] returns.
//
// # Limits
//
// IPv6 needs an MTU of at least 1280. Multicast, raw sockets and packets with
// IPv6 jumbo payloads are not supported. While a ring is full a connection's
// Write waits inside the stack, where its write deadline cannot reach it; a
// device that is being read from ends that within milliseconds.
package netstack
