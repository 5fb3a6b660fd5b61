// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// self is the program that is running, also when its file was replaced meanwhile.
const self = "/proc/self/exe"

// privileged reports whether no user namespace is needed.
func privileged() bool {
	caps, err := capabilities()
	return err == nil && os.Geteuid() == 0 && caps.has(unix.CAP_SYS_ADMIN) && caps.has(unix.CAP_NET_ADMIN)
}

// processAttributes is what the child is born with.
func processAttributes(userNS bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if userNS {
		uid, gid := os.Geteuid(), os.Getegid()
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		// Whoever makes a user namespace has all capabilities in it, but they do not
		// survive the execve of anybody but root unless they are ambient.
		a.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN}
	}
	return a
}

// program returns the path of this program. It is that of a copy in memory, to be
// closed, if the program's file has capabilities, as after "setcap
// cap_net_admin+ep": execve would give those, and take all others.
func program() (path string, copied *os.File, err error) {
	if n, err := unix.Getxattr(self, "security.capability", nil); err != nil || n == 0 {
		return self, nil, nil
	}
	copied, err = copySelf()
	if err != nil {
		return "", nil, fmt.Errorf("copy the program, whose file has capabilities: %w", err)
	}
	return copied.Name(), copied, nil
}

func copySelf() (*os.File, error) {
	// A process that has got capabilities from its file may not write the user map
	// of another one, since its own files in /proc belong to root.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl", err)
	}
	in, err := os.Open(self)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	fd, err := unix.MemfdCreate("router", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	out := os.NewFile(uintptr(fd), descriptorPath(fd))
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}
