// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// The benchmark shares its processors with what it measures, so its sockets are
// plain blocking descriptors used from threads of their own, many packets per
// system call, without segmentation offload.

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// A batch is packets of one size for one system call.
type batch struct {
	bufs [][]byte
	iovs []unix.Iovec
	msgs []mmsghdr
	// The addresses that unconnected sockets send to.
	names []unix.RawSockaddrInet4
}

func newBatch(n, size int) *batch {
	b := &batch{bufs: make([][]byte, n), iovs: make([]unix.Iovec, n), msgs: make([]mmsghdr, n)}
	slab := make([]byte, n*size)
	for i := range n {
		b.bufs[i] = slab[i*size : (i+1)*size : (i+1)*size]
		b.iovs[i].Base = &b.bufs[i][0]
		b.iovs[i].SetLen(size)
		b.msgs[i].hdr.Iov = &b.iovs[i]
		b.msgs[i].hdr.SetIovlen(1)
	}
	return b
}

// address sets the addresses that name chooses from, which the batch keeps.
func (b *batch) address(names []unix.RawSockaddrInet4) {
	b.names = names
	for i := range b.msgs {
		if len(names) > 0 {
			b.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet4
		}
	}
}

// name returns the address i as a message header has it.
func (b *batch) name(i int) *byte { return (*byte)(unsafe.Pointer(&b.names[i])) }

// rawSockaddr returns the address as the kernel has it.
func rawSockaddr(a *unix.SockaddrInet4) unix.RawSockaddrInet4 {
	raw := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:], uint16(a.Port))
	return raw
}

// send sends the first n packets and returns how many the socket took.
func (b *batch) send(fd, n int) (int, error) { return b.call(unix.SYS_SENDMMSG, fd, n, 0) }

// receive reads what is there, without waiting; EAGAIN when nothing is.
func (b *batch) receive(fd int) (int, error) {
	return b.call(unix.SYS_RECVMMSG, fd, len(b.msgs), unix.MSG_DONTWAIT)
}

func (b *batch) call(trap uintptr, fd, n int, flags uintptr) (int, error) {
	r, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&b.msgs[0])), uintptr(n), flags, 0, 0)
	runtime.KeepAlive(b)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// socket returns a UDP socket in the host, bound to addr with any port, with
// large buffers.
func socket(h *lab.Host, addr netip.Addr) (fd int, err error) {
	return socketAt(h, netip.AddrPortFrom(addr, 0))
}

// socketAt is [socket] with a port.
func socketAt(h *lab.Host, at netip.AddrPort) (fd int, err error) {
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	err = h.Do(func() error {
		if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		for _, option := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 16<<20); err != nil {
				return err
			}
		}
		return unix.Bind(fd, sockaddr(at))
	})
	return fd, err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// socketPair returns a socket in each host, connected to each other.
func socketPair(from, to *lab.Host, src, dst netip.Addr) (a, b int, err error) {
	if a, err = socket(from, src); err != nil {
		return 0, 0, err
	}
	if b, err = socket(to, dst); err != nil {
		unix.Close(a)
		return 0, 0, err
	}
	for _, c := range []struct {
		fd, other int
		host      *lab.Host
	}{{a, b, from}, {b, a, to}} {
		if err == nil {
			var peer unix.Sockaddr
			if peer, err = unix.Getsockname(c.other); err == nil {
				err = c.host.Do(func() error { return unix.Connect(c.fd, peer) })
			}
		}
	}
	if err != nil {
		unix.Close(a)
		unix.Close(b)
	}
	return a, b, err
}

// onThread runs f on a thread of its own whose sleeps are precise and which goes
// before others, so that what is measured does not keep it from its pace.
func onThread(f func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: what follows stays with the thread
		defer close(done)
		// Without the privilege for either, trials say that the pace was not kept.
		unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
		unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
		f()
	}()
	return func() { <-done }
}

// sleepUntil blocks the thread, not only the goroutine.
func sleepUntil(t time.Time) {
	if d := time.Until(t); d > 0 {
		ts := unix.NsecToTimespec(int64(d))
		unix.Nanosleep(&ts, nil)
	}
}
