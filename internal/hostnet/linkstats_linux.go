// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// statsAnswerTime is how long an answer is waited for. The kernel puts it there
// before the request is through; without a limit a lost one would be waited for
// without end.
const statsAnswerTime = time.Second

// LinkStats returns the counters of the interface called name, in the network
// namespace of the calling thread. The error wraps [ErrLinkGone] when there is no
// such interface, and errors.ErrUnsupported where the kernel cannot tell (before
// Linux 4.7). It needs no privilege.
func LinkStats(name string) (*LinkStatistics, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("counters of %s: %w: %w", name, ErrLinkGone, err)
	}
	q, err := openStatsQuery(link.Index)
	if err != nil {
		return nil, fmt.Errorf("counters of %s: %w", name, err)
	}
	defer q.close()
	s, err := q.ask()
	if err != nil {
		return nil, fmt.Errorf("counters of %s: %w", name, err)
	}
	return s, nil
}

// A statsQuery asks for the counters of one interface again and again, in the
// namespace that it was opened in. It is not safe for concurrent use.
type statsQuery struct {
	fd       int
	index    int
	sequence uint32
	request  []byte
	answer   [4096]byte // far more than one answer: a header of 32 bytes and 200 of counters
}

func openStatsQuery(index int) (*statsQuery, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	limit := unix.NsecToTimeval(statsAnswerTime.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt", err)
	}
	return &statsQuery{fd: fd, index: index}, nil
}

func (q *statsQuery) close() { unix.Close(q.fd) }

// ask returns the counters as they are now.
func (q *statsQuery) ask() (*LinkStatistics, error) {
	q.sequence++
	q.request = appendStatsRequest(q.request[:0], binary.NativeEndian, q.sequence, q.index)
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := again(func() error { return unix.Sendto(q.fd, q.request, 0, kernel) }); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	for {
		n, sender, err := q.receive()
		if err != nil {
			return nil, os.NewSyscallError("recvfrom", err)
		}
		if from, ok := sender.(*unix.SockaddrNetlink); !ok || from.Pid != 0 {
			continue // some process, not the kernel
		}
		s, found, err := decodeStats(q.answer[:n], binary.NativeEndian, q.sequence, q.index)
		switch {
		case errors.Is(err, unix.EOPNOTSUPP):
			return nil, fmt.Errorf("RTM_GETSTATS: %w: %w", errors.ErrUnsupported, err)
		case err != nil || found:
			return s, err
		}
	}
}

func (q *statsQuery) receive() (n int, sender unix.Sockaddr, err error) {
	err = again(func() (err error) {
		n, sender, err = unix.Recvfrom(q.fd, q.answer[:], 0)
		return err
	})
	return n, sender, err
}

// again repeats a system call that a signal has interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
