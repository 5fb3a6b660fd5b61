// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"net"
	"syscall"
)

// enlarge gives a connection a send buffer of so many bytes, as far as it may: beyond
// net.core.wmem_max only with CAP_NET_ADMIN. It makes fewer changes between the two
// programs, which is what a stream costs on a busy machine.
func enlarge(c *net.UnixConn, size int) {
	_ = c.SetWriteBuffer(size) // less is fine
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUFFORCE, size)
	})
}
