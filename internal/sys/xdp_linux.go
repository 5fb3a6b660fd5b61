// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// XDPRegisterUMEM makes mem the packet memory of the AF_XDP socket fd
// (XDP_UMEM_REG): chunks of frameSize bytes, in each of which received packets
// begin headroom bytes behind the kernel's own 256. mem is page aligned memory
// from mmap(2), not of the Go heap; the kernel pins its pages until the socket is
// closed.
func XDPRegisterUMEM(fd int, mem []byte, frameSize, headroom uint32) error {
	if len(mem) == 0 {
		return unix.EINVAL
	}
	reg := unix.XDPUmemReg{
		Addr:     uint64(uintptr(unsafe.Pointer(&mem[0]))),
		Len:      uint64(len(mem)),
		Size:     frameSize, // chunk_size in include/uapi/linux/if_xdp.h
		Headroom: headroom,
	}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// XDPMmapOffsets reads where the parts of the rings lie in their mappings
// (XDP_MMAP_OFFSETS).
func XDPMmapOffsets(fd int) (v unix.XDPMmapOffsets, err error) {
	err = xdpOption(fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&v), unsafe.Sizeof(v))
	return v, err
}

// XDPStatistics reads XDP_STATISTICS of the AF_XDP socket fd. Kernels before
// Linux 5.9 leave the last three zero.
func XDPStatistics(fd int) (v unix.XDPStatistics, err error) {
	size := uint32(unsafe.Sizeof(v))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_STATISTICS,
		uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return v, errno
	}
	return v, nil
}

// XDPOptions reads XDP_OPTIONS of the bound AF_XDP socket fd: the flags
// XDP_OPTIONS_….
func XDPOptions(fd int) (v uint32, err error) {
	err = xdpOption(fd, unix.XDP_OPTIONS, unsafe.Pointer(&v), unsafe.Sizeof(v))
	return v, err
}

// xdpOption reads an option of exactly size bytes.
func xdpOption(fd, option int, v unsafe.Pointer, size uintptr) error {
	got := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(v), uintptr(unsafe.Pointer(&got)), 0)
	if errno != 0 {
		return errno
	}
	if uintptr(got) != size {
		return fmt.Errorf("sys: AF_XDP option %d has %d bytes, want %d", option, got, size)
	}
	return nil
}

// SharedUint32 returns the 4 bytes of b at off, which another party such as the
// kernel reads and writes too, as an atomic value. It keeps b's memory alive only
// if that is of the Go heap; a mapping must outlive the value. The place is
// within b and aligned to 4 bytes, or SharedUint32 panics.
func SharedUint32(b []byte, off uint64) *atomic.Uint32 {
	if off > uint64(len(b)) {
		panic("sys: shared value outside its memory")
	}
	p := unsafe.Pointer((*[4]byte)(b[off:])) // panics when shorter
	if uintptr(p)%4 != 0 {
		panic("sys: shared value not aligned")
	}
	return (*atomic.Uint32)(p)
}

// SharedSlice returns the n values of b from off on, with the rules of
// [SharedUint32]. T has no pointers; its alignment is at most 8 bytes.
func SharedSlice[T any](b []byte, off uint64, n int) []T {
	var zero T
	if off > uint64(len(b)) || n < 1 || uint64(n) > (uint64(len(b))-off)/uint64(unsafe.Sizeof(zero)) {
		panic("sys: shared values outside their memory")
	}
	p := unsafe.Pointer(&b[off])
	if uintptr(p)%unsafe.Alignof(zero) != 0 {
		panic("sys: shared values not aligned")
	}
	return unsafe.Slice((*T)(p), n)
}
