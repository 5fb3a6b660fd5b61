// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"os"
	"syscall"

	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/sys/unix"
)

// writesBytes reports whether dev's Write returns bytes, virtio headers
// included, instead of packets as [tun.Device] says.
func writesBytes(dev tun.Device) bool {
	_, ok := dev.(*tun.NativeTun)
	return ok
}

// isKernelTUN reports whether file is attached to a TUN interface, or was until
// that was deleted.
func isKernelTUN(file *os.File) bool {
	if file == nil {
		return false
	}
	_, err := deviceName(file)
	return err == nil || errors.Is(err, unix.EBADFD)
}

// classifyWrite takes the error of a kernel device's Write, which joins the
// errors of several system calls, apart: the reason of the first, how many
// there were, and whether they concern the packets rather than the device.
func classifyWrite(err error) (reason writeDrop, failed int, transient bool) {
	if errors.Is(err, os.ErrClosed) {
		return dropClosed, 0, false
	}
	reason, transient = dropOther, true
	var walk func(error)
	walk = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				walk(e)
			}
			return
		}
		var errno syscall.Errno
		if !errors.As(err, &errno) {
			transient = false
			return
		}
		if failed++; failed > 1 {
			return
		}
		switch errno {
		case unix.EIO:
			reason = dropDown
		case unix.EINVAL:
			reason = dropInvalid
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
			reason = dropNoBuffer
		}
	}
	walk(err)
	return reason, failed, transient
}
