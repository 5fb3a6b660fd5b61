// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/tailscale/wireguard-go/ipc"
)

// The errno values of the protocol, negative on the wire.
const (
	ErrnoIO        = int64(ipc.IpcErrorIO)        // -EIO: the request could not be read
	ErrnoProtocol  = int64(ipc.IpcErrorProtocol)  // -EPROTO: not this protocol
	ErrnoInvalid   = int64(ipc.IpcErrorInvalid)   // -EINVAL: unknown key or bad value
	ErrnoPortInUse = int64(ipc.IpcErrorPortInUse) // -EADDRINUSE: listen_port or fwmark not possible
	ErrnoUnknown   = int64(ipc.IpcErrorUnknown)   // -55: everything else

	// ErrnoUnsupported is -EOPNOTSUPP: a question that the program cannot answer.
	ErrnoUnsupported = -int64(syscall.EOPNOTSUPP)
)

// ErrSocketGone means that the file of the control socket was removed or
// replaced, which is how the user tells a userspace WireGuard program to end.
// The caller should end, or listen again.
var ErrSocketGone = errors.New("uapi: control socket file is gone")

// ErrInUse means that another program accepts connections on the socket path.
// The caller should give up or use another path.
var ErrInUse = errors.New("uapi: control socket is in use by another program")

// An Error is a failed operation with the errno that the protocol reports for
// it. A [Handler] returns one to choose the errno; the client returns one for
// every reply that is not errno=0.
type Error struct {
	Errno int64 // one of the Errno constants; a client may see others
	Err   error // says what is wrong, never with a secret in it
}

// Error returns the text of the underlying error.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("errno %d", e.Errno)
	}
	return e.Err.Error()
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// errorf makes an [Error] with a formatted text.
func errorf(errno int64, format string, args ...any) *Error {
	return &Error{Errno: errno, Err: fmt.Errorf(format, args...)}
}

// errnoOf is the one place that turns an error into the errno of a reply. It
// knows our own [Error], wireguard-go's IPCError by its method, and the busy
// port of a bind.
func errnoOf(err error) int64 {
	if err == nil {
		return 0
	}
	var own *Error
	if errors.As(err, &own) && own.Errno != 0 {
		return own.Errno
	}
	var coded interface{ ErrorCode() int64 }
	if errors.As(err, &coded) && coded.ErrorCode() != 0 {
		return coded.ErrorCode()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return ErrnoPortInUse
	}
	return ErrnoUnknown
}

// replyError turns the errno of a reply, and what the reply said about it, into
// the error of a client call.
func replyError(errno int64, message string) error {
	if errno == 0 {
		return nil
	}
	if message != "" {
		return &Error{Errno: errno, Err: errors.New(message)}
	}
	switch errno {
	case ErrnoInvalid:
		return errorf(errno, "refused as invalid: %w", syscall.EINVAL)
	case ErrnoPortInUse:
		return errorf(errno, "refused: %w", syscall.EADDRINUSE)
	case ErrnoUnknown:
		return errorf(errno, "refused for another reason (errno %d)", errno)
	}
	if errno < 0 && errno > -4096 {
		return errorf(errno, "refused: %w", syscall.Errno(-errno))
	}
	return errorf(errno, "refused (errno %d)", errno)
}
