// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// initName is argv[0] of a host's init process.
const initName = "tunrouter-lab-init"

// Main must be the first call of every program that uses the package: in the
// process that the lab starts as a host's init it never returns, elsewhere it
// does nothing.
func Main() {
	if os.Args[0] != initName {
		return
	}
	if err := privateFiles(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	go reap(died)
	fmt.Println("ok")
	// The lab holds the other end of standard input: when it closes the host or
	// dies, the read ends, and with this process every process of the host.
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// reap collects the orphans of the process namespace for as long as it lives.
func reap(died <-chan os.Signal) {
	for range died {
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
				break
			}
		}
	}
}

// oldEtc is where the machine's /etc is seen inside a host. It is one level
// below the root, as /etc is, so that relative links in it stay right.
const oldEtc = "/mnt"

// privateFiles gives the mount namespace of the calling process its own /proc,
// /sys, /run, /etc/wireguard, /etc/resolv.conf and /etc/hosts.
func privateFiles() error {
	type mount struct {
		source, target, fs string
		flags              uintptr
		data               string
	}
	mounts := []mount{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", 0, ""},
		{"tmpfs", "/run", "tmpfs", 0, "mode=755"},
		{"/etc", oldEtc, "", unix.MS_BIND | unix.MS_REC, ""},
		{"tmpfs", "/etc", "tmpfs", 0, "mode=755"},
	}
	if target, err := filepath.EvalSymlinks("/var/run"); err == nil && target != "/run" {
		mounts = append(mounts, mount{"tmpfs", "/var/run", "tmpfs", 0, "mode=755"})
	}
	for _, m := range mounts {
		if err := unix.Mount(m.source, m.target, m.fs, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	entries, err := os.ReadDir(oldEtc)
	if err != nil {
		return err
	}
	private := map[string]string{
		"resolv.conf": "",
		"hosts":       "127.0.0.1 localhost\n::1 localhost\n",
	}
	for _, e := range entries {
		if _, ok := private[e.Name()]; ok || e.Name() == "wireguard" || strings.HasPrefix(e.Name(), "resolvconf") {
			continue
		}
		if err := os.Symlink(filepath.Join(oldEtc, e.Name()), filepath.Join("/etc", e.Name())); err != nil {
			return err
		}
	}
	for name, text := range private {
		if err := os.WriteFile(filepath.Join("/etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.Mkdir("/etc/wireguard", 0o700)
}
