// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package peers is the network side of the WireGuard device: a [Bind], the
// router's implementation of wireguard-go's conn.Bind, that knows where each
// peer is and sends and receives batches through the UDP sockets of package
// batching. Package engine builds one Bind for each router.
//
// # Where a peer is
//
// Every peer has one stable [Endpoint] object for its whole life. The device
// holds it and never sees an address; the address behind it moves only on
// proof:
//
//   - it is set by configuration ([Endpoint.SetAddr], [Endpoint.SetName]);
//   - a transport packet that decrypted and is no replay moves it to where that
//     packet came from (conn.PeerAwareEndpoint.FromPeer);
//   - the handshake response that the device sends carries the sender index of
//     the initiation that it answers. Only an authenticated initiation is
//     answered, so the response goes to, and commits, the address that sent the
//     initiation with that index. When several addresses sent initiations with
//     the same index, one of them is forged or replayed: the response goes to
//     each of them and nothing moves until a transport packet decides.
//
// The local address that the last authenticated packet was sent to is the
// source of everything sent back (a sticky source, by IP_PKTINFO). It is let go
// when the kernel refuses it, when the route to the peer moves to another
// interface ([Bind.RevalidateSources]), and when handshakes go unanswered.
//
// # Sockets
//
// Each address family has a group of sockets on one port ([Options].Sockets), and
// each socket a receive function, so that several CPUs receive. The kernel chooses
// the socket by the addresses of a datagram: what comes from one place comes
// through one socket, in order. A peer is sent to through one socket as well, the
// next one in turn when it is added.
//
// [Bind.Reconfigure] changes their options and their number while packets flow.
// A device knows no way to add a receive function; it is made to close and open
// its Bind, and the sockets stay open over that (see open.go). A socket that is
// given up is read to its end by the function that it has.
//
// # Past the kernel
//
// An underlay (package batching/xdp) sends and receives datagrams of the same port
// without the sockets, beside them ([Bind.SetUnderlay]). Each of its queues is used
// like a socket of both families: it has a receive function, and a peer is sent to
// through one of them. The sockets stay what reserves the port, receive what the
// underlay does not take, and send what it cannot; a datagram takes one of the two
// ways. Where the underlay ends they do everything.
//
// # What arrives
//
// A datagram that is no WireGuard message by type and length is counted by
// reason and dropped before it reaches the device. Nothing is ever answered
// here.
//
// # Counting
//
// The device drops messages without a word: those of no session, those that are not
// authentic, those that wait too long for a handshake. The Bind counts what it gives
// the device and what the device gives it, so that the difference is known; and what
// is given to be sent once by what became of it ([Stats]). The totals keep what peers
// that were removed and sockets that were closed have counted.
//
// # Memory
//
// Packet bytes are borrowed for the duration of a call, in both directions. A
// receive function keeps one descriptor array and one bounded table of known
// remote addresses for its own goroutine; neither receiving from a known
// address nor sending allocates. What is held back for
// batching.Options.FlushTimeout is copied by the socket.
//
// # Concurrency
//
// A receive function belongs to one goroutine. Everything else may be called
// from many. The packet path takes no lock: the current address of a peer is an
// atomic pointer to an immutable value, and so are the sockets. Only handshake
// messages take the mutex of their peer.
package peers
