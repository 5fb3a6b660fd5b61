// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package hub lets packets pass from one peer to another without the host: a router
// among peers, with a place for a packet filter.
//
// The engine puts a [Device] around its TUN or netstack device and hands it to
// wireguard-go. [Device.WriteTo] gets what peers sent and sorts it: packets for the
// host go on to the device inside, packets for another peer are routed (hop limit,
// MTU, ICMP errors, as RFC 1812 and RFC 4443 ask) and queued for that peer. They
// come out of one more queue of the device, which has no descriptor and can only be
// read, and so back to the crypto side:
//
//	peer A ─ decrypt ─ WriteTo ─┬─ host: kernel TUN or netstack ─ its queues ─┬─ encrypt ─ peer B
//	                            └─ lane of B ─ cut-through queue ─────────────┘
//
// With forwarding off and no filter rule every call goes straight through, but for
// packets of the host that no peer would get ([Options.HasPeer]): wireguard-go would
// drop them without a word.
//
// # Who is where
//
// One longest-prefix table holds the AllowedIPs of the peers, the addresses of the
// host, and the networks that the host reaches otherwise; the longest match decides,
// so the host's own routes win where they are more specific, as in the kernel.
// wireguard-go has checked that a packet's source belongs to the peer that sent it.
//
// # Fairness
//
// Each peer has a lane of what waits for it. Lanes take turns, and what a lane may
// hold shrinks with what all of them hold, so a peer that takes its packets slowly,
// or a flood for one, costs the others neither their turn nor their room. What does
// not fit is dropped and counted: waiting would stall the reader that decrypts for
// everybody.
//
// # Packet memory
//
// WriteTo borrows packets for the call and changes the headers of those that it
// routes. While the reader of the cut-through queue waits it lends its slab to the
// first WriteTo, which copies them there. Otherwise they are copied into a parcel,
// one buffer of packets for one lane, which Read copies into the slab and gives back
// to a pool. [Options.MaxBytes] bounds what parcels hold in total.
//
// # Concurrency
//
// Everything is safe for concurrent use; each queue is read by one goroutine at a
// time. The package starts no goroutine.
package hub
