// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"fmt"
	"strings"
)

// processFacts are what the process may do on this kernel.
type processFacts struct {
	release      string // of the kernel
	major, minor int
	userNS       bool // in a user namespace that is not the first
	netAdmin     bool // CAP_NET_ADMIN, and so on
	netRaw       bool
	bpf          bool
	sysAdmin     bool
	ipcLock      bool
	memlock      uint64 // RLIMIT_MEMLOCK in bytes
	// socketErr is what the kernel says to an AF_XDP socket; socketRefused that the
	// privilege is missing, not the socket.
	socketErr     error
	socketRefused bool
}

// Linux versions: a BPF link for XDP since 5.9 (commit aa8d3a7); before 5.11 maps
// count as locked memory (commit 3ac1f01).
const (
	linkSince   = 9
	memcgSince  = 11
	mapsMemory  = 256 << 10 // of the program's maps, ample
	queueFrames = 2 * 2048  // that the router has for each queue
)

func (f *processFacts) before(minor int) bool {
	return f.major < 5 || f.major == 5 && f.minor < minor
}

func (f *processFacts) report(r *Report) {
	switch {
	case f.major == 0:
		r.add(Note, "kernel", "", "the version %q is not understood", f.release)
	case f.before(linkSince):
		r.stops("kernel", "use Linux 5.9 or later", "Linux %s cannot keep an XDP program by a link", f.release)
	default:
		r.add(OK, "kernel", "", "Linux %s", f.release)
	}
	f.reportPrivilege(r)
	switch {
	case f.socketErr == nil:
		r.add(OK, "sockets", "", "the kernel has AF_XDP sockets")
	case f.socketRefused && !f.netRaw: // said already
	case f.socketRefused:
		r.stops("sockets", "give the process CAP_NET_RAW in the user namespace of the network", "an AF_XDP socket is refused: %v", f.socketErr)
	default:
		r.stops("sockets", "use a kernel with CONFIG_XDP_SOCKETS", "there are no AF_XDP sockets: %v", f.socketErr)
	}
}

func (f *processFacts) reportPrivilege(r *Report) {
	var missing []string
	if !f.netAdmin && !f.sysAdmin {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	if !f.netRaw {
		missing = append(missing, "CAP_NET_RAW")
	}
	if !f.bpf && !f.sysAdmin {
		missing = append(missing, "CAP_BPF")
	}
	switch {
	case len(missing) > 0:
		r.stops("privilege", "run as root, or give these capabilities (setcap, AmbientCapabilities= of the unit)",
			"this process has no %s", strings.Join(missing, ", "))
	case f.userNS:
		r.stops("privilege", "run in the first user namespace",
			"capabilities in a user namespace do not allow programs in the kernel")
	default:
		r.add(OK, "privilege", "", "CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF are there")
	}
}

// reportMemory is about locked memory: packet memory counts against the limit of
// the user without CAP_IPC_LOCK (xdp_umem_account_pages in net/xdp/xdp_umem.c; seen
// in Linux 6.18), maps as well before 5.11.
func (f *processFacts) reportMemory(r *Report, queues, frameSize int) {
	if f.ipcLock || queues == 0 {
		return
	}
	queue := uint64(queueFrames * frameSize)
	need := uint64(queues) * queue
	if f.before(memcgSince) {
		need += mapsMemory
	}
	if f.memlock >= need {
		r.add(OK, "memory", "", "%s may be locked, %s are needed", size(f.memlock), size(need))
		return
	}
	remedy := "give CAP_IPC_LOCK, or raise the limit (ulimit -l, LimitMEMLOCK= of the unit)"
	if n := f.memlock / queue; n > 0 && !f.before(memcgSince) {
		remedy += fmt.Sprintf(", or let the router use %d of the %d queues", n, queues)
	}
	r.stops("memory", remedy, "%s may be locked (RLIMIT_MEMLOCK), %s are needed", size(f.memlock), size(need))
}

// size prints bytes in a unit that fits.
func size(n uint64) string {
	switch {
	case n >= 1<<60:
		return "any amount"
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
