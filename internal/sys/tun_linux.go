// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	tunPath   = "/dev/net/tun"
	tunDevice = "tun device" // subject of errors when only a descriptor is known
	threadNS  = "/proc/thread-self/ns/net"
)

// OpenTUN opens /dev/net/tun and attaches it to the interface name, which may
// hold one %d, with the given IFF_ flags. The descriptor does not block, is
// closed on exec and belongs to the caller. An error of the open is a
// [*fs.PathError], one of the attachment an [*os.SyscallError].
func OpenTUN(name string, flags uint16) (fd int, err error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return -1, fmt.Errorf("interface name %q: %w", name, err)
	}
	fd, err = unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: tunPath, Err: err}
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("ioctl TUNSETIFF", err)
	}
	return fd, nil
}

// TUNInfo returns the present name and the IFF_ flags of the interface that the
// TUN descriptor fd is attached to, whatever network namespace it is in. The
// error is EBADFD when the interface was deleted.
func TUNInfo(fd int) (name string, flags uint16, err error) {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return "", 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); err != nil {
		return "", 0, os.NewSyscallError("ioctl TUNGETIFF", err)
	}
	return ifr.Name(), ifr.Uint16(), nil
}

// SetTUNHeaderLen sets the length of the virtio header in front of each packet.
// It belongs to the interface, not to the descriptor: a persistent interface
// keeps what its last user set.
func SetTUNHeaderLen(fd, n int) error {
	return os.NewSyscallError("ioctl TUNSETVNETHDRSZ", unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, n))
}

// SetTUNOffload tells the interface behind the TUN descriptor fd which kinds of
// superpackets, TUN_F_ flags, may be read from it. The error is EINVAL, and nothing
// changes, when the kernel does not know one of them.
func SetTUNOffload(fd int, flags uint) error {
	return os.NewSyscallError("ioctl TUNSETOFFLOAD", unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(flags)))
}

// SetTUNTxQueueLen sets how many packets each queue of the interface behind the TUN
// descriptor fd holds, under the conditions of [SetTUNMTU].
func SetTUNTxQueueLen(fd, n int) error {
	if _, err := TUNInThisNetNS(fd); errors.Is(err, unix.EPERM) {
		return err
	}
	return tunIoctl(fd, func(socket int, ifr *unix.Ifreq) error {
		ifr.SetUint32(uint32(n))
		return os.NewSyscallError("ioctl SIOCSIFTXQLEN", unix.IoctlIfreq(socket, unix.SIOCSIFTXQLEN, ifr))
	})
}

// TUNInThisNetNS reports whether the interface behind the TUN descriptor fd is
// in the network namespace of the calling thread. Where the kernel cannot tell
// (before 5.6, or without CAP_NET_ADMIN there) it returns an error.
func TUNInThisNetNS(fd int) (bool, error) {
	ns, err := tunNetNS(fd)
	if err != nil {
		return false, err
	}
	defer unix.Close(ns)
	return isThisNetNS(ns)
}

// TUNMTU returns the MTU of the interface behind the TUN descriptor fd, also
// when it was moved to another network namespace; that needs CAP_SYS_ADMIN.
func TUNMTU(fd int) (mtu int, err error) {
	err = tunIoctl(fd, func(socket int, ifr *unix.Ifreq) error {
		if err := unix.IoctlIfreq(socket, unix.SIOCGIFMTU, ifr); err != nil {
			return os.NewSyscallError("ioctl SIOCGIFMTU", err)
		}
		mtu = int(ifr.Uint32())
		return nil
	})
	return mtu, err
}

// SetTUNMTU sets the MTU of the interface behind the TUN descriptor fd, under
// the conditions of [TUNMTU] and with CAP_NET_ADMIN.
func SetTUNMTU(fd, mtu int) error {
	if _, err := TUNInThisNetNS(fd); errors.Is(err, unix.EPERM) {
		return err // else the name could be that of another interface, here
	}
	return tunIoctl(fd, func(socket int, ifr *unix.Ifreq) error {
		ifr.SetUint32(uint32(mtu))
		return os.NewSyscallError("ioctl SIOCSIFMTU", unix.IoctlIfreq(socket, unix.SIOCSIFMTU, ifr))
	})
}

// ReadNonblock is read(2) on a descriptor that does not block, without telling
// the scheduler; interrupted calls are repeated. The goroutine keeps its
// processor for the length of the call, which is one copy or nothing. Giving it
// up and taking it back would add 5 to 10 % to the read of a small packet from a
// TUN (0.5 µs; Linux 6.18, amd64, 2026).
func ReadNonblock(fd int, b []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
}

// WritevNonblock is writev(2) as [ReadNonblock] is read(2). What is written to a TUN
// passes through the host, in this call, to where it is delivered or queued: 1 to
// 50 µs. Were the scheduler told, it would take the processor away in the longer
// ones and give it to another thread, which then competes with this one; see
// [SendMMsg].
func WritevNonblock(fd int, iovs []unix.Iovec) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iovs))), uintptr(len(iovs)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
}

// tunIoctl calls f with a socket in the network namespace of the interface
// behind fd and a request that holds its name.
func tunIoctl(fd int, f func(socket int, ifr *unix.Ifreq) error) error {
	name, _, err := TUNInfo(fd)
	if err != nil {
		return err
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("interface name %q: %w", name, err)
	}
	here := func() error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(s)
		return f(s, ifr)
	}
	ns, err := tunNetNS(fd)
	if err != nil {
		return here() // an old kernel; the interface is most likely where it was made
	}
	defer unix.Close(ns)
	if same, err := isThisNetNS(ns); err != nil || same {
		return here()
	}
	return inNetNS(ns, here)
}

// tunNetNS opens the network namespace that the interface behind fd is in; the
// descriptor is closed on exec.
func tunNetNS(fd int) (int, error) {
	ns, err := unix.IoctlRetInt(fd, unix.TUNGETDEVNETNS)
	if err != nil {
		return -1, fmt.Errorf("network namespace of %s: %w", tunDevice, os.NewSyscallError("ioctl TUNGETDEVNETNS", err))
	}
	return ns, nil
}

// isThisNetNS reports whether ns is the network namespace of the calling thread.
func isThisNetNS(ns int) (bool, error) {
	var there, here unix.Stat_t
	if err := unix.Fstat(ns, &there); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	if err := unix.Stat(threadNS, &here); err != nil {
		return false, &fs.PathError{Op: "stat", Path: threadNS, Err: err}
	}
	return there.Dev == here.Dev && there.Ino == here.Ino, nil
}

// inNetNS runs f on another thread, moved to the network namespace ns. A thread
// that cannot be brought back stays locked and ends with its goroutine, so that
// no other goroutine ever runs in a wrong namespace; the runtime makes new
// threads from a clean one as long as any is locked.
func inNetNS(ns int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := unix.Open(threadNS, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			done <- &fs.PathError{Op: "open", Path: threadNS, Err: err}
			return
		}
		defer unix.Close(home)
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- os.NewSyscallError("setns", err)
			return
		}
		err = f()
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
