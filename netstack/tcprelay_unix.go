// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build unix

package netstack

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawReader returns what it takes to wait for r without reading it, nil if that
// is not possible.
func rawReader(r io.Reader) syscall.RawConn {
	c, ok := r.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// readableNow reports whether reading fd would not block. It is the callback of
// RawConn.Read, which waits if it does.
func readableNow(fd uintptr) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds[:], 0)
		if err == unix.EINTR { // straight from the system call
			continue
		}
		return n != 0 // an error too: Read tells
	}
}
