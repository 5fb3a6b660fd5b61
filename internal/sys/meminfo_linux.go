// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// MemInfoLen is the number of values that SO_MEMINFO has had since Linux 4.12
// (SK_MEMINFO_VARS in include/uapi/linux/sock_diag.h).
const MemInfoLen = 9

// MemInfo reads SO_MEMINFO of socket fd: what its buffers hold and may hold, in
// bytes, in the order of SK_MEMINFO_RMEM_ALLOC and so on; the last one,
// SK_MEMINFO_DROPS, is a number of packets. Older kernels without all nine leave
// the rest zero.
func MemInfo(fd int) (v [MemInfoLen]uint32, err error) {
	size := uint32(unsafe.Sizeof(v))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return v, errno
	}
	return v, nil
}
