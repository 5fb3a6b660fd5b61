// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package path finds out which paths lead to a peer and chooses among them: all
// state machines of a router towards its peers and towards relays, sections 5 to
// 7 of docs/PROTOCOL.md. It is pure: no sockets, no goroutines, and time is
// passed in. Package peers drives it.
//
// An [Agent] is told what happened ([Agent.Receive], [Agent.Heard],
// [Agent.Wanted], [Agent.Tick]) and acts through its [Network]: it sends frames
// and says where packets go from now on ([Network.Use]).
//
// # Words
//
// A [Path] is an address and port with or without the VNI of a session on a
// relay. A candidate is a path that may work. A candidate is trusted for 6.5 s
// after each answer to a Ping over it. The path in use is the primary one; in
// doubt packets go over a second one as well. A challenger is a trusted path
// that may replace the one in use; it is on trial while it proves that it is
// better.
//
// # Concurrency
//
// All methods but [Agent.Knows] and [Agent.Carries] are called by one goroutine
// at a time. The agent calls its Network on that goroutine, before the method
// returns; the Network must not call the agent back.
//
// # Memory
//
// Frames are borrowed for the call in both directions. What is kept for a peer
// is bounded: 32 candidates, 256 Pings under way, one session for each relay. A
// plain WireGuard peer costs one entry and is looked at every 10 s.
package path
