// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// events calls back when interfaces or addresses change. The supervisor looks by
// itself now and then, so a lost message costs time only.
type events struct {
	socket  *nl.NetlinkSocket
	done    chan struct{}
	running sync.WaitGroup
}

// eventPause keeps an error that stays from spinning, and gathers messages that
// come together.
const eventPause = 20 * time.Millisecond

func newEvents(notify func()) (*events, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("xdp: messages of the kernel: %w", err)
	}
	e := &events{socket: s, done: make(chan struct{})}
	e.running.Go(func() { e.listen(notify) })
	return e, nil
}

func (e *events) listen(notify func()) {
	for {
		_, _, err := e.socket.Receive()
		select {
		case <-e.done:
			return
		default:
		}
		notify()
		if err != nil {
			select {
			case <-e.done:
				return
			case <-time.After(eventPause):
			}
		}
	}
}

func (e *events) close() {
	close(e.done)
	e.socket.Close()
	e.running.Wait()
}
