// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// EthtoolChannels are the numbers of queues of a network device (struct
// ethtool_channels in include/uapi/linux/ethtool.h). Combined ones receive and
// transmit.
type EthtoolChannels struct {
	cmd                                    uint32
	MaxRx, MaxTx, MaxOther, MaxCombined    uint32
	RxCount, TxCount, OtherCount, Combined uint32
}

// ethtoolRequest is struct ifreq with a pointer.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// GetEthtoolChannels returns the queues of the interface of that name, in the
// network namespace of the socket fd (ETHTOOL_GCHANNELS). A driver that has no
// channels to count is EOPNOTSUPP.
func GetEthtoolChannels(fd int, name string) (c EthtoolChannels, err error) {
	c.cmd = unix.ETHTOOL_GCHANNELS
	if len(name) >= unix.IFNAMSIZ {
		return c, unix.ENODEV
	}
	req := ethtoolRequest{data: unsafe.Pointer(&c)}
	copy(req.name[:], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return c, errno
	}
	return c, nil
}
