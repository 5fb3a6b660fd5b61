// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package xdp is an underlay for datagrams over AF_XDP sockets: the contract of
// package batching past the kernel's network stack, beside its UDP sockets on the
// same port. Package peers uses it.
//
//	u, err := xdp.Open(&xdp.Options{Interface: "eth0"})
//	u.Beside(v4, v6)                       // the kernel's sockets
//	u.Listen(51820)                        // their port
//	for _, c := range u.Conns() { … }      // c.ReadBatch, c.WriteBatch: one for each queue
//	st := u.Status()                       // whether it is active, and why not
//
// Its parts are rooms of their own: xsk is one AF_XDP socket, redirect the program
// that gives it the packets of one UDP port, frame the headers of what it sends and
// receives, nexthop where the kernel would send it, check what `router xdp check`
// says about an interface.
//
// # The way of a packet
//
// What arrives on the interface for the port and one of its addresses is redirected
// to the socket of its queue, and read by [Conn.ReadBatch]; a datagram takes exactly
// one way. Everything else, such as fragments, other interfaces, queues without a
// socket, packets merged by a device or larger than a frame, takes the kernel's, whose
// sockets on that port have readers as ever.
//
// [Conn.WriteBatch] puts a frame together and hands it to the interface, if the
// kernel's route leads there and its neighbour is known. Otherwise the kernel's
// socket sends: it resolves, fragments and refuses as it always did. Which reason
// it was is counted ([Status].Kernel).
//
// # Going and coming
//
// An [Underlay] may be inactive at any time, and nothing but speed depends on it.
// It waits for its interface, and starts anew when the interface was replaced, its
// queues or its MTU changed, or the program was taken away. When the link is down
// or has no address it stays in place. A program of somebody else is never replaced.
//
// # Memory
//
// Bytes of the caller are borrowed for the duration of a call, as in package
// batching. ReadBatch copies out of the frames and gives them back before it
// returns, but for up to 128 frames that the caller's slab had no room for.
// Each queue has 8 MiB of frames outside the Go heap, twice that for an MTU above
// 1774. The steady state allocates nothing.
//
// # Concurrency
//
// Everything is safe for concurrent use. Concurrent ReadBatch calls of a Conn take
// turns; writers share a lock for as long as frames are handed to the kernel. An
// Underlay has two goroutines, the supervisor and the one that hears the kernel's
// messages, and while active two of its route table; Close ends them. Where it
// was opened in another network namespace than that of the process, the supervisor
// keeps a thread there.
//
// # Platforms
//
// Linux 5.9 and newer, with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF. Elsewhere
// [Open] fails.
package xdp
