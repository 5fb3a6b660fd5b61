// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco

import (
	"encoding/binary"
	"time"
)

// A frame is one UDP payload, or what follows a Geneve header:
//
//	0       4              12                     36                36+n          52+n
//	+-------+--------------+----------------------+-----------------+-------------+
//	| magic | receiver tag | nonce                | body, encrypted | Poly1305    |
//	+-------+--------------+----------------------+-----------------+-------------+
//
// Magic and tag are the additional data of the encryption.
const (
	tagOffset   = 4
	nonceOffset = tagOffset + 8
	bodyOffset  = nonceOffset + 24 // XChaCha20's nonce: random ones do not collide
	macSize     = 16
)

// Sizes in bytes.
const (
	// Overhead is what a frame has beside its body.
	Overhead = bodyOffset + macSize
	// MinBody is the length of the shortest body, which is that of a Pong: no
	// answer to a Ping is longer than the Ping.
	MinBody = 36
	// MaxBody is the length of the longest body. With headers it stays within a
	// jumbo frame of 9,000 bytes.
	MaxBody = 8900
	// MinFrame and MaxFrame are the lengths of the shortest and longest frame.
	MinFrame = Overhead + MinBody
	MaxFrame = Overhead + MaxBody
)

// magic begins every frame. A WireGuard message begins with 1 to 4 and three
// zero bytes, and as Geneve this would be version 3: the first four bytes tell
// the three apart.
const magic uint32 = 0xf3747264

// EpochLength is how long a tag is in use, see [Epoch].
const EpochLength = time.Hour

// A Key is a private or public key of X25519, as in WireGuard.
type Key = [32]byte

// A Tag says who sent a frame, to the receiver only. It changes every epoch, so
// that nobody else can follow a router by it.
type Tag [8]byte

// A TxID is the transaction of a question and of its answer.
type TxID [12]byte

// IsFrame reports whether b has the magic and a possible length of a frame. It
// does not say that b is authentic.
func IsFrame(b []byte) bool {
	return len(b) >= MinFrame && len(b) <= MaxFrame && binary.BigEndian.Uint32(b) == magic
}

// FrameTag returns the tag of b, for which [IsFrame] is true.
func FrameTag(b []byte) Tag { return Tag(b[tagOffset:nonceOffset]) }

// Epoch returns the number of the hour of t since 1970, by which tags change.
// It is 0 for all times before 1970. A receiver knows the tags of its own epoch,
// the one before and the one after.
func Epoch(t time.Time) uint64 {
	return uint64(max(t.Unix(), 0)) / uint64(EpochLength/time.Second)
}
