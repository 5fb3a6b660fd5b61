// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"cmp"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketBuffer is what the buffers of a socket may grow to, if net.core.rmem_max
// and wmem_max allow: 10 ms at 3 Gbit/s. An idle socket uses nothing of it.
const socketBuffer = 4 << 20

// control sets up a socket before it is bound or connected.
func (h *udpHost) control(network, _ string, raw syscall.RawConn) (err error) {
	ctlErr := raw.Control(func(fd uintptr) { err = h.configure(int(fd), network == "udp6") })
	return cmp.Or(ctlErr, err)
}

func (h *udpHost) configure(fd int, is6 bool) error {
	// Whatever the system allows will do.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer)
	if h.gro {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) // datagrams come one by one without it
	}
	// Nobody would get to know that a datagram is too long for the path: it is
	// sent without the "don't fragment" bit.
	level, opt, value := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT
	if is6 {
		level, opt, value = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT
	}
	_ = unix.SetsockoptInt(fd, level, opt, value)
	// Package net allows broadcasts, which nobody in a tunnel may send here.
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 0)
}
