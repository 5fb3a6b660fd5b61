// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// RecvMMsg receives up to len(msgs) datagrams from socket fd with one
// recvmmsg(2) without a timeout. It returns how many of msgs were filled, at
// least one, or 0 and an error number.
//
// The kernel overwrites Len, Hdr.Flags, Hdr.Namelen and Hdr.Controllen of every
// message it fills; the caller sets the two lengths anew before each call.
func RecvMMsg(fd int, msgs []unix.Mmsghdr, flags int) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(msgs))), uintptr(len(msgs)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// SendMMsg sends msgs through socket fd with one sendmmsg(2) and returns how
// many the kernel took. It takes fewer than all when one fails; the error number
// is returned only when the first does, so that sending the rest again tells
// why.
func SendMMsg(fd int, msgs []unix.Mmsghdr, flags int) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(msgs))), uintptr(len(msgs)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
