// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"os"

	"golang.org/x/sys/unix"
)

// Bits of PR_SET_SECUREBITS, include/uapi/linux/securebits.h.
const (
	secbitNoRoot       = 1 << 0
	secbitNoRootLocked = 1 << 1
)

// A capabilitySet is the effective set of a thread.
type capabilitySet [2]uint32

func (s capabilitySet) has(c int) bool { return s[c/32]&(1<<(c%32)) != 0 }

func capabilities() (capabilitySet, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&hdr, &data[0])
	return capabilitySet{data[0].Effective, data[1].Effective}, os.NewSyscallError("capget", err)
}

// dropCapabilities takes all capabilities from the calling thread, also those that
// root would get at execve. The bounding set stays.
func dropCapabilities() error {
	if os.Geteuid() == 0 {
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, secbitNoRoot|secbitNoRootLocked, 0, 0, 0); err != nil {
			return os.NewSyscallError("prctl PR_SET_SECUREBITS", err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_CAP_AMBIENT", err)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return os.NewSyscallError("capset", unix.Capset(&hdr, &none[0]))
}
