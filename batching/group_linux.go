// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// share lets sockets of the same user that are opened afterwards have the same
// port, or not. Linux takes SO_REUSEPORT also of a socket that is bound; that the
// first is bound without it makes sure that the port was free.
func (c *Conn) share(on bool) (err error) {
	if ctlErr := c.raw.Control(func(fd uintptr) { err = setSharing(int(fd), on) }); ctlErr != nil {
		return net.ErrClosed
	}
	return err
}

func setSharing(fd int, on bool) error {
	v := 0
	if on {
		v = 1
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, v); err != nil {
		return fmt.Errorf("set SO_REUSEPORT: %w", err)
	}
	return nil
}

// steer makes the kernel give all packets to the first socket of the group that c
// belongs to, or ends that. Members are in the order in which they were bound
// (reuseport_add_sock in net/core/sock_reuseport.c), and leave from the end.
func (c *Conn) steer(on bool) (err error) {
	ctlErr := c.raw.Control(func(fd uintptr) {
		if !on {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0)
			return
		}
		first := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: 1, Filter: &first})
	})
	if ctlErr != nil {
		return net.ErrClosed
	}
	return err
}

// nowhere is the index of an interface that does not exist.
const nowhere = 1<<31 - 1

// detach takes the socket, which left its group, out of the kernel's lookups
// before it is closed, by binding it to no interface: close takes it out of the
// group first (reuseport_detach_sock in udp_lib_unhash, net/ipv4/udp.c), and a
// packet that finds it in between would be lost with it. What found it before is
// read. Linux 5.0 and later; before, that packet is lost.
func (c *Conn) detach() {
	_ = c.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, nowhere)
	})
	c.deadline.mu.Lock()
	defer c.deadline.mu.Unlock()
	_ = c.setDeadlineLocked(time.Now().Add(lingering / 10))
}
