// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build unix

package proxy

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// disconnected reports whether a socket whose writing side is open is connected
// no more: it was reset. After the proper end of what the peer sends it still
// is, until both sides have finished.
func disconnected(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	raw.Control(func(fd uintptr) { // closed: somebody else has ended the relay
		_, err := unix.Getpeername(int(fd))
		gone = err == unix.ENOTCONN // straight from the system call
	})
	return gone
}
