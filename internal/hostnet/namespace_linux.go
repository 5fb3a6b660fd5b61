// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"errors"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// threadNamespace is the network namespace of the calling thread. (That of
// /proc/self is the main thread's.)
const threadNamespace = "/proc/thread-self/ns/net"

// A namespace is the network namespace that a State belongs to.
type namespace struct {
	file *os.File // nil without /proc: every thread counts as inside
	stat unix.Stat_t
}

// currentNamespace returns the namespace of the calling thread.
func currentNamespace() (*namespace, error) {
	f, err := os.Open(threadNamespace)
	if errors.Is(err, fs.ErrNotExist) {
		return &namespace{}, nil
	}
	if err != nil {
		return nil, err
	}
	n := &namespace{file: f}
	if err := unix.Fstat(int(f.Fd()), &n.stat); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "fstat", Path: threadNamespace, Err: err}
	}
	return n, nil
}

// do runs f inside the namespace: on the calling goroutine when that is inside
// already, as in every ordinary program, else on a thread that ends with it.
func (n *namespace) do(f func() error) error {
	var here unix.Stat_t
	if n.file == nil || unix.Stat(threadNamespace, &here) != nil || here.Ino == n.stat.Ino && here.Dev == n.stat.Dev {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- os.NewSyscallError("setns", err)
			return
		}
		done <- f()
	}()
	return <-done
}

func (n *namespace) close() {
	if n.file != nil {
		n.file.Close()
	}
}
