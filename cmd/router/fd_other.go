// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package main

import (
	"os"
	"os/exec"
)

func openFD(fd int, name string) *os.File { return os.NewFile(uintptr(fd), name) }

func detach(*exec.Cmd) {}
