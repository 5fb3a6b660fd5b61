// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package relay is the relay: a [Server] that forwards frames between two routers
// that cannot reach each other, without keys and without plaintext. Package engine
// runs one when the configuration asks for it. The messages are those of section 7
// of docs/PROTOCOL.md.
//
//	s, err := relay.New(&relay.Options{Identity: id, Allowed: keys, Port: 51821})
//	err = s.Run(ctx)
//
// # Words
//
// A client is a router whose public key is on the relay's list. A registration is
// where a client can be told that somebody wants to talk to it. A session is what
// the relay keeps for a pair of clients, found by its VNI; each client is a leg of
// it, bound to the address that it has shown to be at. A question is a frame from
// a client for the relay itself, an answer what the relay sends by itself.
//
// # The table
//
// A [Table] is everything that a relay knows and decides, and nothing else: it has
// no sockets and no goroutines, and is told the time. Whoever wants a relay in a
// simulated network takes it alone.
//
// Nothing is kept because of a frame that only claims to come from somewhere. A
// registration and a leg are made, and moved, when the client brings back a cookie
// that was sent to the address; a cookie is worthless once what it is about has
// moved elsewhere. What does not authenticate is not answered, and no answer is
// longer than its question.
//
// A VNI is the index of a slot and a count of its uses (see slots.go), so finding
// the session of a frame is a load from an array.
//
// # Forwarding
//
// Each socket has a goroutine that reads batches and gathers the frames of each
// leg. They are sent as they came, Geneve header included, with one call for each
// leg: what the kernel merged on the way in leaves as a segmented message. A leg
// is sent to from the address that it sends to, through a socket of its family;
// the two legs of a session may be of different ones.
//
// # Limits
//
// Sessions in total and for each client, answers for each second in total and for
// each client, and, if asked for, bytes for each second and client. Everything
// that is dropped is counted by reason, see [Drop].
//
// # Memory
//
// Frames are forwarded from the slab they were received into, before the next
// read; forwarding allocates nothing. A worker has a slab of 128 KiB. A session
// takes about 1 KiB, and so does a client.
//
// # Concurrency
//
// Everything exported is safe for concurrent use. The list of clients is an
// immutable map, the sessions an array of atomic pointers, so that neither
// forwarding nor refusing a forged frame takes a lock. Questions that authenticate
// take the mutex of the table, which is never held over a system call.
package relay
