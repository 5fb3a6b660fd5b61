// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// configure sets the options of a socket that is not bound yet, and asks the
// kernel what it can do. An error is an option that the socket cannot do without.
func configure(fd int, network string, o *Options) (features, error) {
	if err := setRequired(fd, network == "udp6"); err != nil {
		return features{}, err
	}
	if o.Mark != 0 {
		if err := setMark(fd, o.Mark); err != nil {
			return features{}, err
		}
	}
	return offer(fd, network, o), nil
}

// offer sets what can be set again while the socket is open, and tells what it
// can do. GRO is switched on here; the reader switches it off.
func offer(fd int, network string, o *Options) features {
	var f features
	f.lack(setBuffer(fd, "receive", o.ReceiveBuffer, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF))
	f.lack(setBuffer(fd, "send", o.SendBuffer, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF))
	// Without it the drops of the receive buffer are not counted.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1); err != nil {
		f.lack(fmt.Sprintf("overflow counter: %v", os.NewSyscallError("SO_RXQ_OVFL", err)))
	}
	if reason := probeBatching(fd, o); reason != "" {
		f.lack("batching: "+reason, "gso: needs batching", "gro: needs batching")
		return f
	}
	f.batched = true
	if reason := probeGSO(fd, o); reason != "" {
		f.lack("gso: " + reason)
	} else {
		f.gso = true
		if f.sentinel = needsSentinel(network, o); f.sentinel {
			if o.AnyProtocol {
				f.gso, f.sentinel = false, false
				f.lack("gso: messages of equally long packets are corrupted")
			} else {
				f.lack("gso: messages of equally long packets get a sentinel")
			}
		}
	}
	if reason := probeGRO(fd, o); reason != "" {
		f.lack("gro: " + reason)
	} else {
		f.gro = true
	}
	return f
}

// lack notes why something is missing; empty reasons are none.
func (f *features) lack(reasons ...string) {
	for _, r := range reasons {
		if r != "" {
			f.reasons = append(f.reasons, r)
		}
	}
}

// setRequired asks for the local address of received datagrams and sends without
// the "don't fragment" bit (see the package comment).
func setRequired(fd int, is6 bool) error {
	type option struct {
		name              string
		level, opt, value int
	}
	options := []option{
		{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
		{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT},
	}
	if is6 {
		options = []option{
			{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1},
			{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
			{"IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT},
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("set %s: %w", o.name, err)
		}
	}
	return nil
}

// setBuffer sets the size of a socket buffer, beyond the system's limit if
// allowed, and returns why it is smaller than asked, if it is.
func setBuffer(fd int, name string, size, force, plain int) (reason string) {
	if size < 0 {
		return ""
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size)
	if err == nil {
		return ""
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size); err != nil {
		return fmt.Sprintf("%s buffer: %v", name, err)
	}
	// Linux returns twice what was set, to count its own overhead: socket(7).
	got, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, plain)
	if err2 == nil && got/2 < size {
		return fmt.Sprintf("%s buffer: %d instead of %d bytes: %v (needs CAP_NET_ADMIN or a larger net.core limit)",
			name, got/2, size, err)
	}
	return ""
}

// probeBatching asks for recvmmsg and sendmmsg by calling them with nothing: a
// sandbox may refuse them.
func probeBatching(fd int, o *Options) (reason string) {
	if o.DisableBatching {
		return "switched off"
	}
	if _, errno := sys.RecvMMsg(fd, nil, unix.MSG_DONTWAIT); errno != 0 {
		return os.NewSyscallError("recvmmsg", errno).Error()
	}
	if _, errno := sys.SendMMsg(fd, nil, unix.MSG_DONTWAIT); errno != 0 {
		return os.NewSyscallError("sendmmsg", errno).Error()
	}
	return ""
}

// probeGSO asks whether the kernel knows UDP_SEGMENT (Linux 4.18). What the
// devices can do shows when sending.
func probeGSO(fd int, o *Options) (reason string) {
	if o.DisableGSO || o.MaxSegments == 1 {
		return "switched off"
	}
	if _, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT); err != nil {
		return os.NewSyscallError("UDP_SEGMENT", err).Error()
	}
	return ""
}

// probeGRO switches UDP_GRO on. Linux has it since 5.0, but only since 5.12
// (98184612aca0) can it be asked for; wireguard-go takes that as the sign that
// it works, and so does this.
func probeGRO(fd int, o *Options) (reason string) {
	if o.DisableGRO {
		return "switched off"
	}
	if _, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO); err != nil {
		return os.NewSyscallError("UDP_GRO", err).Error()
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
		return os.NewSyscallError("UDP_GRO", err).Error()
	}
	return ""
}

// memory returns the SO_MEMINFO of the socket, nil when there is none.
func (c *Conn) memory() *Memory {
	var v [sys.MemInfoLen]uint32
	var err error
	if ctlErr := c.raw.Control(func(fd uintptr) { v, err = sys.MemInfo(int(fd)) }); ctlErr != nil || err != nil {
		return nil
	}
	return &Memory{
		ReceiveQueued: v[0], ReceiveBuffer: v[1], SendQueued: v[2], SendBuffer: v[3], Forward: v[4],
		WriteQueued: v[5], Options: v[6], Backlog: v[7], Drops: v[8],
	}
}

func setMark(fd int, mark uint32) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
		return &MarkError{Mark: mark, Err: err}
	}
	return nil
}

// plainControl is the room for the control messages of one datagram.
const plainControl = sys.RecvControlSpace

func plainSource(oob []byte) (local netip.Addr, ifIndex uint32, ok bool) {
	var c sys.Control
	if c.Parse(oob) != nil {
		return netip.Addr{}, 0, false
	}
	return answerable(c.Local), c.IfIndex, true
}

// answerable returns local unless it cannot be the source of an answer.
func answerable(local netip.Addr) netip.Addr {
	if local.IsMulticast() || local.IsUnspecified() {
		return netip.Addr{}
	}
	return local
}

func plainControlOf(dst *Destination) []byte { return dst.raw.control[:dst.raw.pktinfoLen] }

func truncated(flags, _, _ int) bool { return flags&unix.MSG_TRUNC != 0 }
