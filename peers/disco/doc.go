// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package disco is what routers say to each other, and to a relay, beside
// WireGuard: the codec and the cryptography of sections 2 to 4 of
// docs/PROTOCOL.md. It is pure: no sockets, no timers, no state machines, and
// time is passed in. Packages peers/path and peers/relay speak it.
//
// An [Identity] is a private key. Its [Pair] with another router's public key
// seals bodies into frames and opens frames; nothing else needs to be
// configured, because both sides can derive the same keys. A body is one of the
// messages [Ping], [Pong], [Candidates] and [RelayMessage]:
//
//	body := ping.AppendBody(nil)
//	frame := pair.Seal(nil, disco.Epoch(now), body)
//
// The receiver finds the pair by the tag in front of the frame ([IsFrame],
// [FrameTag], [Pair.ReceiveTag]), opens it, and decodes it by its [BodyType].
//
// # Errors
//
// Whatever a peer sends ends in one of four errors, to be counted: [ErrAuth],
// [ErrShort], [ErrType], [ErrValue]. No error says more, so that bad input costs
// no allocation.
//
// # Memory
//
// Frames and bodies are appended to the caller's buffers, and bytes that are
// passed in are borrowed for the call: nothing is retained. Decoding sets every
// field, and leaves the zero message behind an error. Sealing and opening
// allocate nothing where dst has room (on amd64; elsewhere x/crypto allocates a
// cipher for each frame).
//
// # Concurrency
//
// Functions, [Identity] and [Pair] are safe for concurrent use. Messages are
// values of their owner.
package disco
