// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func iovBytes(v *unix.Iovec) []byte { return unsafe.Slice(v.Base, int(v.Len)) }
