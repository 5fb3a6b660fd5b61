// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kernelPort is the netlink port of the kernel (netlink(7)).
const kernelPort = 0

// drainTime is how long the socket must be silent, after it dropped messages, to
// count as empty, and the pause after an error.
const drainTime = 10 * time.Millisecond

// messageSource is the part of nl.NetlinkSocket that listen needs.
type messageSource interface {
	Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error)
	SetReceiveTimeout(*unix.Timeval) error
}

// listen forgets what the kernel's messages make wrong, until the table closes.
//
// A socket that is full drops messages, which may have been about anything. The
// kernel says so once (ENOBUFS), and drops more in silence until the socket has
// been read empty (net/netlink/af_netlink.c, netlink_overrun). So everything is
// forgotten at the error, at each message until the socket is empty, and then.
func (t *Table) listen(events messageSource) {
	lossy := false
	for {
		messages, from, err := events.Receive()
		select {
		case <-t.done:
			return
		default:
		}
		switch {
		case err != nil && lossy && errors.Is(err, unix.EAGAIN):
			lossy = false
			_ = events.SetReceiveTimeout(&unix.Timeval{}) // only stores it
			t.forget(true)
		case err != nil:
			lossy = true
			limit := unix.NsecToTimeval(drainTime.Nanoseconds())
			_ = events.SetReceiveTimeout(&limit)
			t.forget(true)
			select { // an error that stays must not spin
			case <-t.done:
				return
			case <-time.After(drainTime):
			}
		case lossy:
			t.forget(true)
		case from.Pid == kernelPort:
			for i := range messages {
				t.message(&messages[i])
			}
		}
	}
}

// message handles one message of the kernel.
func (t *Table) message(m *syscall.NetlinkMessage) {
	switch m.Header.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		n := parseNeighbour(m.Data)
		if m.Header.Type == unix.RTM_DELNEIGH {
			n.usable = false
		}
		if n.ifIndex == t.ifIndex && n.ip.IsValid() {
			t.forgetNeighbour(&n)
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE, unix.RTM_NEWRULE, unix.RTM_DELRULE,
		unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		t.forget(false)
	default:
		t.forget(true)
	}
}

// forget drops all answers and those that are on their way; with host also what
// is known of the interface and the addresses.
func (t *Table) forget(host bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	t.hostChanged = t.hostChanged || host
	t.entries.remove(func(*entry) bool { return true })
}

// forgetNeighbour drops the answers that go by way of n, unless they say the
// same, and the one that is on its way there.
func (t *Table) forgetNeighbour(n *neighbour) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asking == n.ip {
		t.overtaken = true
	}
	t.entries.remove(func(e *entry) bool {
		same := n.usable && e.reason == OK && e.hop.Target == n.mac && e.fixed == n.fixed
		return e.hop.Gateway == n.ip && !same
	})
}
