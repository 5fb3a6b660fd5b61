// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// threadNS is the network namespace of the calling thread, not of the process.
const threadNS = "/proc/thread-self/ns/net"

// An NS is an anonymous network namespace. It exists while its file is open or
// a process or socket is in it.
type NS struct {
	tb   testing.TB
	file *os.File // immutable after NewNS; closed by the test's cleanup
}

// NewNS creates a network namespace with loopback up. It ends when the test
// does. Call [NeedNetNS] before.
func NewNS(tb testing.TB) *NS {
	tb.Helper()
	var f *os.File
	err := OnThrowawayThread(func() (err error) {
		f, err = enterNewNS()
		return err
	})
	if err != nil {
		tb.Fatalf("create network namespace: %v", err)
	}
	tb.Cleanup(func() { f.Close() })
	return &NS{tb: tb, file: f}
}

// File returns the open file of the namespace, for setns(2), for
// netlink.LinkSetNsFd and the like. It belongs to the NS.
func (n *NS) File() *os.File { return n.file }

// Path returns a path under which other processes can open the namespace while
// the test runs (nsenter --net=PATH).
func (n *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// Do runs f inside the namespace on the caller's goroutine and returns its
// error. Programs that f starts are in the namespace too; goroutines that it
// starts are not. f may call tb.Fatal and may panic.
func (n *NS) Do(f func() error) error { return InNS(n.file, f) }

// Run is [NS.Do] for a function without error; the test fails when the
// namespace cannot be entered.
func (n *NS) Run(f func()) {
	n.tb.Helper()
	if err := n.Do(func() error { f(); return nil }); err != nil {
		n.tb.Fatalf("enter network namespace: %v", err)
	}
}

// InNS is [NS.Do] for the namespace of an open file.
func InNS(file *os.File, f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(threadNS)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open %s: %w", threadNS, err)
	}
	defer home.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace: %w", os.NewSyscallError("setns", err))
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			// Still locked: whoever recovers ends the thread with its goroutine.
			panic(fmt.Sprintf("return from network namespace: setns: %v", err))
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// OnThrowawayThread runs f on a thread that ends afterwards, whatever f did to
// its namespaces. The thread is never the process's first, whose namespaces are
// those that /proc/PID shows.
func OnThrowawayThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked, unless it is the first
		if unix.Gettid() == unix.Getpid() {
			done <- OnThrowawayThread(f) // holding the first thread meanwhile
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

// enterNewNS moves the calling thread to a new namespace with loopback up and
// returns the namespace's file.
func enterNewNS() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	f, err := os.Open(threadNS)
	if err != nil {
		return nil, err
	}
	if err := loopbackUp(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return os.NewSyscallError("ioctl SIOCSIFFLAGS lo", unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr))
}

// probeNetNS makes a namespace and a TUN device in it, and lets both go.
func probeNetNS() error {
	return OnThrowawayThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
		}
		defer unix.Close(fd)
		ifr, err := unix.NewIfreq("probe0")
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return os.NewSyscallError("ioctl TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr))
	})
}
