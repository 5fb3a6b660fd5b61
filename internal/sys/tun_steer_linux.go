// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An ebpfInsn is struct bpf_insn of include/uapi/linux/bpf.h. The registers share a
// byte: the destination is in the lower half, the source in the upper.
type ebpfInsn struct {
	code uint8
	regs uint8
	off  int16
	imm  int32
}

// Constructors of the instructions that steering is made of. The arithmetic is that
// of 32 bits.

// ldAbs loads size bytes (unix.BPF_B or BPF_W) of the packet into r0, in host byte
// order. It wants the context in r6, destroys r1 to r5, and ends the program with
// result 0 if the packet is too short.
func ldAbs(size uint8, at int32) ebpfInsn {
	return ebpfInsn{code: unix.BPF_LD | unix.BPF_ABS | size, imm: at}
}

func aluImm(op, dst uint8, imm int32) ebpfInsn {
	return ebpfInsn{code: unix.BPF_ALU | unix.BPF_K | op, regs: dst, imm: imm}
}

func aluReg(op, dst, src uint8) ebpfInsn {
	return ebpfInsn{code: unix.BPF_ALU | unix.BPF_X | op, regs: src<<4 | dst}
}

func jumpEqual(reg uint8, imm int32, off int16) ebpfInsn {
	return ebpfInsn{code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, regs: reg, off: off, imm: imm}
}

// steeringProgram returns a socket filter whose result is a hash of the destination
// address of an IP packet. A packet of a TUN that is about to choose its queue
// (tun_select_queue, drivers/net/tun.c) begins with its IP header: such a device has
// no header of its own. The kernel takes the result modulo the number of queues.
func steeringProgram() []ebpfInsn {
	const (
		mov, xor, mul, rsh = unix.BPF_MOV, unix.BPF_XOR, unix.BPF_MUL, unix.BPF_RSH

		load64 = unix.BPF_ALU | 0x03 // BPF_ALU64

		// The finalizer of MurmurHash3: every bit of the address moves every bit of
		// the result, so that neighbours are spread too.
		mul1, mul2 = int32(0x85ebca6b - 1<<32), int32(0xc2b2ae35 - 1<<32)
		golden     = int32(0x9e3779b1 - 1<<32)
	)
	prog := []ebpfInsn{
		{code: load64 | unix.BPF_X | mov, regs: 1<<4 | 6}, // r6 = r1, the context
		ldAbs(unix.BPF_B, 0),
		aluImm(rsh, 0, 4),
		jumpEqual(0, 6, 3),
		// IPv4, or something that nobody routes.
		ldAbs(unix.BPF_W, 16),
		aluReg(mov, 7, 0),
		{code: unix.BPF_JMP | unix.BPF_JA, off: 11},
		// IPv6.
		ldAbs(unix.BPF_W, 24),
		aluReg(mov, 7, 0),
	}
	for _, at := range []int32{28, 32, 36} {
		prog = append(prog, aluImm(mul, 7, golden), ldAbs(unix.BPF_W, at), aluReg(xor, 7, 0))
	}
	for _, step := range []struct {
		shift, mul int32
	}{{16, mul1}, {13, mul2}} {
		prog = append(prog,
			aluReg(mov, 0, 7), aluImm(rsh, 0, step.shift), aluReg(xor, 7, 0), aluImm(mul, 7, step.mul))
	}
	return append(prog,
		aluReg(mov, 0, 7), aluImm(rsh, 0, 16), aluReg(xor, 0, 7),
		ebpfInsn{code: unix.BPF_JMP | unix.BPF_EXIT})
}

// progLoad is the part of union bpf_attr for BPF_PROG_LOAD that every kernel knows.
type progLoad struct {
	progType    uint32
	insnCnt     uint32
	insns       uint64 // pointers, of the same size everywhere
	license     uint64
	logLevel    uint32
	logSize     uint32
	logBuf      uint64
	kernVersion uint32
	progFlags   uint32
}

// NewTUNSteering loads a program for [SetTUNSteering] that chooses the queue of a
// packet by its destination address. The descriptor is closed on exec and belongs to
// the caller. The error is EPERM where only the privileged may load programs
// (CAP_BPF, or CAP_SYS_ADMIN before Linux 5.8).
func NewTUNSteering() (fd int, err error) {
	insns := steeringProgram()
	license := []byte("MIT\x00")
	var pins runtime.Pinner
	defer pins.Unpin()
	pins.Pin(&insns[0])
	pins.Pin(&license[0])
	attr := progLoad{
		progType: unix.BPF_PROG_TYPE_SOCKET_FILTER,
		insnCnt:  uint32(len(insns)),
		insns:    uint64(uintptr(unsafe.Pointer(&insns[0]))),
		license:  uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	r, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return -1, os.NewSyscallError("bpf BPF_PROG_LOAD", errno)
	}
	return int(r), nil
}

// SetTUNSteering has the program prog choose the queue of the packets that the
// interface behind the TUN descriptor fd sends; -1 gives the choice back to the
// kernel. The interface keeps the program: prog may be closed.
func SetTUNSteering(fd, prog int) error {
	return os.NewSyscallError("ioctl TUNSETSTEERINGEBPF", unix.IoctlSetPointerInt(fd, unix.TUNSETSTEERINGEBPF, prog))
}
