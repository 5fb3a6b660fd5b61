// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// errInterrupted means that a list changed while it was read.
var errInterrupted = errors.New("nexthop: list changed while it was read")

// replyLen is the room for one datagram of the kernel: parts of a list have up
// to 32 KiB (net/netlink/af_netlink.c, netlink_dump), a link some KiB.
const replyLen = 64 << 10

// A socket asks the kernel by netlink. Only one goroutine may use it. It keeps
// its buffers: a reply is valid until the next question.
type socket struct {
	fd  int
	seq uint32
	out []byte
	in  []byte
}

// openSocket opens a socket in the calling thread's network namespace. It is
// connected, so that only the kernel is heard.
func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	limit := unix.NsecToTimeval(askTimeout.Nanoseconds())
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: kernelPort})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return &socket{fd: fd, in: make([]byte, replyLen)}, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// begin starts a message; its body is to be appended to s.out.
func (s *socket) begin(typ, flags uint16) {
	s.seq++
	s.out = append(s.out[:0], 0, 0, 0, 0) // the length
	s.out = native.AppendUint16(s.out, typ)
	s.out = native.AppendUint16(s.out, unix.NLM_F_REQUEST|flags)
	s.out = native.AppendUint32(s.out, s.seq)
	s.out = native.AppendUint32(s.out, 0) // the kernel knows the port
}

// send sends the message and does not wait for a reply.
func (s *socket) send() error {
	native.PutUint32(s.out, uint32(len(s.out)))
	for {
		_, err := unix.Write(s.fd, s.out)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// ask sends the message and returns the body of the reply, which is one message,
// or the errno of the kernel.
func (s *socket) ask() (body []byte, err error) {
	if err := s.send(); err != nil {
		return nil, err
	}
	err = s.replies(func(b []byte) bool {
		body = b
		return false
	})
	return body, err
}

// list sends the message, which asks for a list, and gives f the body of each
// element, valid during the call.
func (s *socket) list(f func(body []byte)) error {
	if err := s.send(); err != nil {
		return err
	}
	return s.replies(func(b []byte) bool {
		f(b)
		return true
	})
}

// replies gives f the bodies of the replies to the last message until f returns
// false, or the list ends. Replies to others, which were not waited for, are
// passed over.
func (s *socket) replies(f func(body []byte) bool) error {
	interrupted := false
	for {
		n, err := unix.Read(s.fd, s.in)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		for b := s.in[:n]; len(b) >= headerLen; {
			size := int(native.Uint32(b))
			if size < headerLen || size > len(b) {
				return unix.EBADMSG
			}
			typ, flags, seq, body := native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[8:]), b[headerLen:size]
			b = b[min(align(size), len(b)):]
			if seq != s.seq {
				continue
			}
			interrupted = interrupted || flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case typ == unix.NLMSG_ERROR || typ == unix.NLMSG_DONE:
				if e := int32(number(body)); e < 0 {
					return unix.Errno(-e)
				}
				if interrupted {
					return errInterrupted
				}
				return nil
			case !f(body):
				return nil
			}
		}
	}
}
