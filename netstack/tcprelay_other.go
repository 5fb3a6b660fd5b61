// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !unix

package netstack

import (
	"io"
	"syscall"
)

// rawReader returns nil: there is no asking whether a socket can be read.
func rawReader(io.Reader) syscall.RawConn { return nil }

// readableNow is not called.
func readableNow(uintptr) bool { return true }
