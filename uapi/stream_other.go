// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package uapi

import "net"

// enlarge gives a connection a send buffer of so many bytes, as far as it may.
func enlarge(c *net.UnixConn, size int) { _ = c.SetWriteBuffer(size) }
