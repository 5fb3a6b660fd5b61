// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"fmt"
	"math/bits"
)

// Mode is how packets get in and out of the UMEM.
type Mode uint8

const (
	// ModeAuto takes zero-copy where the driver can, copy elsewhere.
	ModeAuto Mode = iota
	// ModeZeroCopy lets the device read and write the UMEM, or fails.
	ModeZeroCopy
	// ModeCopy lets the kernel copy.
	ModeCopy
)

// String returns "auto", "zero-copy" or "copy".
func (m Mode) String() string {
	switch m {
	case ModeAuto:
		return "auto"
	case ModeZeroCopy:
		return "zero-copy"
	case ModeCopy:
		return "copy"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// allows reports whether a socket of mode m may be in zero-copy mode, or in copy mode.
func (m Mode) allows(zeroCopy bool) bool {
	return m == ModeAuto || zeroCopy == (m == ModeZeroCopy)
}

const (
	// 2048 frames of 2 KiB each way: at 1 million packets a second a reader may
	// be away for 2 ms.
	defaultFrames    = 2048
	defaultFrameSize = 2048
	maxFrames        = 1 << 20 // 2 GiB of 2 KiB frames
	maxQueues        = 256
	// kernelHeadroom is XDP_PACKET_HEADROOM in include/uapi/linux/bpf.h, which the
	// kernel leaves free in front of each received packet.
	kernelHeadroom = 256
)

// Options are the options of [Open]. The zero value of each field is its default.
type Options struct {
	// Queue is the index of the interface's receive and transmit queue.
	Queue int
	// RxFrames and TxFrames are how many frames can be with the kernel and the
	// caller together, for each direction, 1 to 1,048,576; 0 = 2048.
	RxFrames, TxFrames int
	// FrameSize is the size of a frame in bytes, 2048 or 4096; 0 = 2048.
	FrameSize int
	// Mode is how packets get in and out of the UMEM; 0 = ModeAuto.
	Mode Mode
	// Memory is where the frames are: a part of it. RxFrames, TxFrames and FrameSize
	// are then those of the Memory, or 0. All sockets of a Memory get packets in and
	// out in the same way, as Mode of the first said. nil = memory of the socket's own.
	Memory *Memory
}

// withDefaults returns a checked copy of o with defaults filled in.
func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if m := out.Memory; m != nil {
		for _, v := range []struct {
			n *int
			m int
		}{{&out.RxFrames, m.opt.RxFrames}, {&out.TxFrames, m.opt.TxFrames}, {&out.FrameSize, m.opt.FrameSize}} {
			if *v.n != 0 && *v.n != v.m {
				return out, fmt.Errorf("xsk: %d frames or bytes, but %d in the memory", *v.n, v.m)
			}
			*v.n = v.m
		}
	}
	for _, n := range []*int{&out.RxFrames, &out.TxFrames} {
		if *n == 0 {
			*n = defaultFrames
		}
		if *n < 1 || *n > maxFrames {
			return out, fmt.Errorf("xsk: %d frames, must be 1 to %d", *n, maxFrames)
		}
	}
	if out.FrameSize == 0 {
		out.FrameSize = defaultFrameSize
	}
	if out.FrameSize != 2048 && out.FrameSize != 4096 {
		return out, fmt.Errorf("xsk: frame size %d, must be 2048 or 4096", out.FrameSize)
	}
	if out.Queue < 0 {
		return out, fmt.Errorf("xsk: queue %d, must not be negative", out.Queue)
	}
	if out.Mode > ModeCopy {
		return out, fmt.Errorf("xsk: unknown mode %d", out.Mode)
	}
	return out, nil
}

// ringSize returns the smallest size of a ring, a power of two, for n frames.
func ringSize(n int) uint32 { return 1 << bits.Len32(uint32(n-1)) }
