// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// collectProcess asks for what concerns this process. What cannot be found out is
// taken as missing.
func collectProcess() *processFacts {
	f := &processFacts{userNS: inUserNS()}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		f.release = unix.ByteSliceToString(name.Release[:])
		f.major, f.minor = parseRelease(f.release)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&hdr, &caps[0]); err == nil {
		has := func(c int) bool { return caps[c/32].Effective&(1<<(c%32)) != 0 }
		f.netAdmin, f.netRaw, f.sysAdmin = has(unix.CAP_NET_ADMIN), has(unix.CAP_NET_RAW), has(unix.CAP_SYS_ADMIN)
		f.bpf, f.ipcLock = has(unix.CAP_BPF), has(unix.CAP_IPC_LOCK)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err == nil {
		f.memlock = limit.Cur
	} else {
		f.memlock = math.MaxUint64
	}
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd) // nothing was done with it
	}
	f.socketErr, f.socketRefused = err, err == unix.EPERM || err == unix.EACCES
	return f
}

// parseRelease returns the first two numbers of a kernel's release, 0 and 0 when
// it does not begin with two.
func parseRelease(s string) (major, minor int) {
	first, rest, _ := strings.Cut(s, ".")
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	major, err := strconv.Atoi(first)
	if err != nil {
		return 0, 0
	}
	if minor, err = strconv.Atoi(digits); err != nil {
		return 0, 0
	}
	return major, minor
}

// inUserNS reports whether the process is in a user namespace that maps users: the
// first one maps all to themselves.
func inUserNS() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && string(bytes.Join(bytes.Fields(b), []byte(" "))) != "0 0 4294967295"
}
