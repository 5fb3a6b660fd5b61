// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// openFD takes over a descriptor that the program was started with. Programs
// that it starts do not get it.
func openFD(fd int, name string) *os.File {
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

// detach makes cmd a daemon: a session of its own, so that the end of a terminal
// or a ^C there does not reach it.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}
