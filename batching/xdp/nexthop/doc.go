// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package nexthop tells who takes a packet next on its way: the Ethernet address
// of the gateway or of the neighbour itself, as the kernel's routes and
// neighbour table say for one interface. An AF_XDP socket sends past the kernel
// and has to know.
//
// The kernel decides. A [Table] asks it per destination (RTM_GETROUTE, then the
// neighbour table), keeps the answer, and forgets it as soon as the kernel
// reports a change: of any route, rule, address or link all answers, of a
// neighbour those that go to it. What a change makes wrong may be used until its
// message is read, no longer. When messages were lost, everything is forgotten.
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
// Of several paths of equal cost the kernel names one per pair of addresses, and
// all packets between them take it; ports play no part. Marks and the user of a
// socket do not either.
//
// A Table, which exists on Linux only, is safe for concurrent use. It owns two
// goroutines, until Close. It stays in the network namespace that it was opened
// in.
package nexthop
