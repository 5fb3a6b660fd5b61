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

// writesBytes reports whether dev's Write returns bytes instead of packets as
// [tun.Device] says.
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

// classifyWrite returns the reason for which a kernel device did not write a packet,
// and whether that concerns the packet rather than the device.
func classifyWrite(err error) (reason writeDrop, transient bool) {
	if errors.Is(err, os.ErrClosed) {
		return dropClosed, false
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return dropOther, false
	}
	return dropOf(errno), true
}
