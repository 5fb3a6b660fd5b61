// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package netstack is a TUN device without a kernel behind it: a TCP/IP stack
// inside the process. [New] returns a [Device], which wireguard-go drives like
// any other [tun.MultiQueueDevice]; [Device.Net] returns its [Net], through
// which the program dials, listens and pings as a host with the device's
// addresses, or routes for others. It needs no privilege and runs wherever Go
// does.
//
// The engine calls New when the configuration asks for netstack mode. Programs
// that embed the engine use the Net. This is the only package of the module
// that imports gVisor, and nothing of gVisor shows in its API.
//
// # Where to begin
//
// [Net.DialContext], [Net.Listen] and [Net.ListenPacket] are what package net
// has, and enough for most programs. Three more are for those that pass traffic
// on:
//
//   - [Net.OpenTCPPort] hands over requests to connect before they are
//     answered, so that a forward can connect to its target first and refuse
//     the client if that is refused. A handler gives each [TCPRequest] its
//     answer.
//   - [Net.OpenUDPPort] hands over UDP datagrams as they arrive, many at a time;
//     [Net.SendDatagrams] sends them likewise.
//   - [Net.SetTransit] does both for the packets to addresses that the device
//     does not have, and for echo requests: what a router needs.
//
// # Words
//
// Outbound is from the stack to the tunnel, inbound the other way. A packet is
// one IP packet of at most MTU bytes. A superpacket is what the stack hands out
// or takes in as one piece of up to 64 KiB: outbound TCP or UDP that is still to
// be split into packets, inbound TCP segments of one flow joined into one. A run
// is the packets of one Write that become one superpacket, or the datagrams that
// are handed over in one call. A queue is one [tun.Queue] of the device, with
// the ring that feeds it. Transit is what is not for the host itself.
//
// # The way out
//
//	Conn.Write ─ TCP ─ WritePackets ─┐
//	SendDatagrams ─ raw packet ──────┴─ ring ─ Read ─ slab (split in place)
//
// The stack hands superpackets to the ring of a queue, chosen by flow so that a
// flow stays in order. Datagrams without a socket, and the ICMP messages that
// belong to them, do not pass the stack: they are built as raw packets, up to 64
// datagrams of one size as one superpacket, and go to the same rings.
//
// A full ring makes the sender wait: nothing is dropped, so TCP does not mistake
// a busy moment for loss. Only what answers an inbound packet by itself (ICMP,
// resets, handshakes) never waits; it has a reserve of its own and is dropped
// and counted when that is full too, so that receiving never depends on sending.
// [Device.Read] takes as many superpackets as the slab holds, copies each once
// to its place and splits it there.
//
// # The way in
//
//	Write ─ check ─ join by flow ─┬─ one copy ─ stack of the host, or of transit
//	                              └─ UDPPort, Transit: datagrams, echo requests
//
// Each packet's lengths and checksums are checked once, here. TCP segments of
// one flow that follow each other in one [Device.Write] enter the stack as one
// superpacket, which costs one lookup, one lock and one acknowledgement instead
// of up to 45. Joined packets end here and are never forwarded. Datagrams that
// are for a [UDPPort] or for [Transit] are handed over where they lie, without a
// copy; only those in fragments pass a stack, which puts them together.
//
// Transit has a stack of its own, made when it is first asked for: one that
// takes every address as its own, where no listener of the host can take what is
// meant for others.
//
// # Requests to connect
//
// The first packet of a client, for a [TCPPort] or in transit, becomes a
// [TCPRequest] in a goroutine that calls the handler; nothing is answered until
// the handler does. Requests and handshakes under way are bounded, for all
// clients and for each, so that a flood of requests costs bounded memory and one
// client does not keep out others. A client may use its port again while the
// last connection from it is in TIME_WAIT here, as with a listener.
//
// # Names
//
// DialContext asks the host's resolver for names: package resolver, with the
// name servers of [Options], which it reaches through the tunnel, or a function
// of the program's own. The system's resolver is never asked.
//
// # Memory
//
// Read fills the caller's slab and keeps nothing of it. Write copies what it
// takes before it returns; the buffers stay the caller's and are not changed.
// Handlers of datagrams and echo requests borrow these very buffers for the
// call. SendDatagrams copies.
//
// In between, bytes live in gVisor's pooled buffers, or in raw packets of the
// device's own pool. A ring owns one reference to each packet of gVisor, and
// each raw packet, that it holds; it gives them up to the Read that takes them,
// or when the device is closed. A ring holds 1 MiB, give or take a superpacket.
//
// A connection's buffers hold what is under way and no more: an idle connection
// has none. TCP connections implement io.ReaderFrom and io.WriterTo, which
// io.Copy uses: a relay built on them borrows a buffer of 16 KiB, 256 KiB when
// there is much to move, from a pool of the device each time there is something
// to move.
//
// The steady state of Read, of the checks and joins of Write, and of datagrams
// without a socket allocates nothing in this package.
//
// # Concurrency
//
// All methods of [Device], [Net], ports and connections may be called by any
// number of goroutines, Close included. The goroutines are
//
//   - the workers of the stack, GOMAXPROCS for each of the two stacks, which end
//     before [Device.Close] returns;
//   - those of a DialContext call that tries several addresses or looks a name
//     up, which end with it, or with the last call that waits for the same name;
//   - one for each TCPRequest, until its handler returns. [TCPPort.Close] waits
//     for these, Device.Close does not.
//
// Handlers of datagrams and echo requests run on the goroutine that calls Write
// and must not wait.
//
// # What is counted
//
// [Device.Stats] has what went through each queue and how often a sender waited
// there, what Write took, and what became of every packet dropped here, by
// reason; TCP as the stacks see it; datagrams and echo requests without a
// socket; requests to connect, for ports and in transit. What wrong packets do
// is counted and never logged.
//
// # Limits
//
// IPv6 needs an MTU of at least 1280. Multicast, raw sockets and packets with
// IPv6 jumbo payloads are not supported. While a ring is full a connection's
// Write waits inside the stack, where its write deadline cannot reach it; a
// device that is being read from ends that within milliseconds.
package netstack
