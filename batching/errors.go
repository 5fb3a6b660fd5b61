// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
)

// Errors of a caller that broke the contract of [Conn.WriteBatch]. Nothing was
// sent; the same call fails again.
var (
	// ErrHeadroom means that a VNI was given with an offset smaller than the
	// Geneve header.
	ErrHeadroom = errors.New("batching: no headroom for the geneve header")
	// ErrOffset means that the offset is negative or beyond the end of a packet.
	ErrOffset = errors.New("batching: offset beyond the end of a packet")
)

// A SendError says why packets could not be sent. It unwraps to the error number
// of the kernel, to [ErrHeadroom] or to [ErrOffset].
type SendError struct {
	// Op is what failed: "sendmmsg" or "sendmsg" for the system call, "check"
	// when the call was refused before it.
	Op string
	// Remote is the address that the packets were for.
	Remote netip.AddrPort
	// Err is the cause, never nil.
	Err error
}

func (e *SendError) Error() string { return fmt.Sprintf("%s to %s: %v", e.Op, e.Remote, e.Err) }

// Unwrap returns Err.
func (e *SendError) Unwrap() error { return e.Err }

// SendReason returns the name under which [TxStats].Dropped counts packets that were
// refused with err.
func SendReason(err error) string {
	if errors.Is(err, net.ErrClosed) {
		return txReasons[txClosed-txTooLong]
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	return txReasons[reasonOf(err)-txTooLong]
}

// A MarkError says that the firewall mark of a socket could not be set.
type MarkError struct {
	Mark uint32
	Err  error // never nil
}

func (e *MarkError) Error() string {
	hint := ""
	if errors.Is(e.Err, fs.ErrPermission) {
		hint = " (needs CAP_NET_ADMIN)"
	}
	return fmt.Sprintf("set firewall mark %#x: %v%s", e.Mark, e.Err, hint)
}

// Unwrap returns Err.
func (e *MarkError) Unwrap() error { return e.Err }

// A FixedError says that an option of an open socket cannot change.
type FixedError struct {
	Option string // the field of [Options]
}

func (e *FixedError) Error() string {
	return "batching: option " + e.Option + " of an open socket cannot change"
}
