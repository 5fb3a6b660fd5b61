// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package proxy offers the network inside a tunnel to programs outside of it:
// SOCKS5, HTTP, port forwards, an inbound subnet router and DNS, on top of
// netstack.Net. Package engine will start what the configuration asks for.
//
// The room is empty so far; a configuration that asks for a proxy is refused.
//
// Memory: each flow will own its buffers and borrow them from a pool only while
// it has bytes to move. Concurrency: one goroutine per direction of a flow,
// owned by the listener that accepted it.
package proxy
