// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package relay is the relay server: it forwards Geneve frames between the two
// routers of a pair that cannot reach each other, without ever seeing keys or
// plaintext. Package engine will run it when the configuration asks for it.
//
// The room is empty so far.
//
// Memory: frames are forwarded from the slab they were received into, before the
// next read. Concurrency: one goroutine per socket, the table of pairs shared.
package relay
