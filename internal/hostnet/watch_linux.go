// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// quiet is how long changes are gathered before the caller is told: a link that
// goes down makes one message for each of its routes.
const quiet = 100 * time.Millisecond

// watched are the multicast groups of rtnetlink(7) that a change of the path to
// a peer shows up in.
var watched = [...]uint{
	unix.RTNLGRP_LINK,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE,
}

// WatchRoutes calls onChange whenever links, addresses, routes or rules of the
// host have changed, once for all changes within 100 ms. It says that something
// has changed, not what; changes that the kernel had to drop count too. It runs
// until ctx ends and returns nil then; onChange is called on its goroutine and
// never after it has returned. It watches the network namespace that the
// calling thread is in at the time of the call.
func WatchRoutes(ctx context.Context, onChange func()) error {
	f, err := subscribe()
	if err != nil {
		return err
	}
	return watch(ctx, f, quiet, onChange)
}

// subscribe opens a socket on which all changes are announced.
func subscribe() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch routes: %w", os.NewSyscallError("socket", err))
	}
	var groups uint32
	for _, g := range watched {
		groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch routes: %w", os.NewSyscallError("bind", err))
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}

// watch owns f.
func watch(ctx context.Context, f *os.File, wait time.Duration, onChange func()) error {
	inner, fail := context.WithCancelCause(ctx)
	var reader sync.WaitGroup
	defer func() {
		fail(nil)
		f.Close() // ends the reader
		reader.Wait()
	}()
	events := make(chan struct{}, 1)
	reader.Go(func() {
		if err := announce(f, events); err != nil {
			fail(err)
		}
	})
	debounce(inner, events, wait, onChange)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("watch routes: %w", context.Cause(inner))
}

// announce puts one event for each message on f, unless one is waiting there
// already. What a message says is not looked at, so it need not fit. It returns
// when f fails or is closed. ENOBUFS means that messages were lost, so that
// something must have changed.
func announce(f *os.File, events chan<- struct{}) error {
	var message [64]byte
	for {
		_, err := f.Read(message[:])
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		select {
		case events <- struct{}{}:
		default:
		}
	}
}
