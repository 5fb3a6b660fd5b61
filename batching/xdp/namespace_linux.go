// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// threadNamespace is the network namespace of the thread that opens it.
const threadNamespace = "/proc/thread-self/ns/net"

// otherNamespace opens the network namespace of the calling thread, if it is not
// that in which goroutines run. Sockets and programs belong to the namespace of the
// thread that makes them.
func otherNamespace() (*os.File, error) {
	runtime.LockOSThread() // so that the goroutine below is on another one
	defer runtime.UnlockOSThread()
	here, err := os.Readlink(threadNamespace)
	if err != nil {
		return nil, fmt.Errorf("xdp: network namespace: %w", err)
	}
	var there string
	done := make(chan struct{})
	go func() {
		defer close(done)
		there, err = os.Readlink(threadNamespace)
	}()
	<-done
	if err != nil {
		return nil, fmt.Errorf("xdp: network namespace: %w", err)
	}
	if here == there {
		return nil, nil
	}
	return os.Open(threadNamespace)
}

// inNamespace runs f on a thread in the namespace, which ends afterwards; nil is
// the namespace of the process.
func inNamespace(netns *os.File, f func(err error)) {
	if netns == nil {
		f(nil)
		return
	}
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The first thread's namespace is what the process shows to others, and it
		// never ends. While it waits here the next goroutine is on another one.
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		go func() {
			defer close(done)
			inNamespace(netns, f)
		}()
		<-done
		return
	}
	err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET)
	if err != nil {
		err = fmt.Errorf("xdp: enter the network namespace: %w", err)
	}
	f(err)
}
