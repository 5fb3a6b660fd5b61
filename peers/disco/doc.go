// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package disco is the path discovery between routers: the codec and the
// cryptography of its messages, pure, without sockets or clocks. Package peers
// will call it for what it sends and receives.
//
// The room is empty so far: every peer is treated as plain WireGuard.
//
// Memory: messages are appended to the caller's buffers and decoded in place,
// nothing is retained. Concurrency: everything is a value or a function, safe
// for concurrent use.
package disco
