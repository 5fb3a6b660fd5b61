// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package nexthop tells who takes a packet next on its way: the Ethernet address
// of the gateway or of the neighbour itself, as the kernel's routes and
// neighbour table say for one interface. An AF_XDP socket sends past the kernel
// and has to know.
//
// The kernel decides. A [Table] asks it per destination (RTM_GETROUTE, then
// RTM_GETNEIGH), keeps the answer, and forgets it as soon as the kernel reports
// a change: of any route, rule, address or link all answers, of a neighbour
// those that go to it. What a change makes wrong may be used until its message
// is read, no longer. When messages were lost, everything is forgotten. Asked
// again, the kernel answers within a millisecond.
//
// Some changes have no message: a path MTU learnt by ICMP, a route's expiry, the
// default TTL, the hop limit and MTU of a router advertisement. They are
// followed within [Options].Refresh.
//
// [Table.Lookup] never waits and never asks. Without an answer it says why; the
// caller sends that packet through a kernel socket, which resolves the neighbour
// and fragments if need be. That is also how a first answer comes about.
//
// Packets past the kernel do not refresh its neighbour entries. So, at each
// refresh, the Table tells the kernel that the neighbours of the answers in use
// are in use (NTF_USE), which makes it probe those that are stale, and asks
// again for the routes; answers that nobody used since the last refresh are
// forgotten. What is kept is bounded.
//
// A source address must be one of this host that is ready for use, on whichever
// interface: one that duplicate address detection has not passed is not. There
// is no answer without a source.
//
// Routes are asked for with a firewall mark ([Table.SetMark]), for UDP and for
// the user of this process, so rules (ip-rule(8)) by mark, protocol and user
// hold. Those by port or type of service do not. Of several paths of equal cost
// the kernel names one per pair of addresses, and all packets between them take
// it; ports play no part. IPsec policies are not asked: what they would encrypt is
// no destination for a Table.
//
// A Table, which exists on Linux (5.0 or newer) only, is safe for concurrent use.
// It owns two goroutines, until Close. It stays in the network namespace that it
// was opened in.
package nexthop
