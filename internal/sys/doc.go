// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package sys is the thin layer between typed Go values and what the kernel
// reads and writes: system calls that golang.org/x/sys/unix does not wrap, and
// the encodings that go with them. It is the only home of unsafe in the module;
// each file serves one topic.
//
// # Batched datagrams (Linux)
//
// [RecvMMsg] and [SendMMsg] are recvmmsg(2) and sendmmsg(2) over
// [unix.Mmsghdr]; [Sockaddr] encodes and decodes socket addresses; [Control],
// [AppendPktinfo] and [AppendSegment] do the same for control messages. Package
// batching calls them. golang.org/x/net does this too, but allocates an address
// for every datagram it receives.
//
// # TUN devices (Linux)
//
// [OpenTUN] attaches a queue, [TUNInfo], [TUNMTU] and [SetTUNMTU] ask and change
// the interface behind one, also when it has moved to another network namespace.
// [NewTUNSteering] loads a program that chooses the queue of a packet, assembled here,
// for [SetTUNSteering]. Package tunwrap calls them.
//
// # AF_XDP sockets (Linux)
//
// [XDPRegisterUMEM], [XDPMmapOffsets], [XDPStatistics] and [XDPOptions] are the
// socket options of AF_XDP; [SharedUint32] is an index or a flag word, and
// [SharedSlice] are the entries, of a ring that the kernel maps too. Package xsk
// calls them.
//
// # Memory
//
// Nothing here allocates on success or retains what it is given after it
// returns. A message header refers to its buffers with typed pointers, so the
// garbage collector sees them: headers must live in Go memory, and whoever fills
// them clears the pointers when the buffers are somebody else's again.
//
// # Concurrency
//
// Functions are safe for concurrent use on one descriptor, as the kernel's calls
// are; values are not.
package sys
