// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package main

import (
	"io"
	"os"
)

// A tty is where somebody types and looks. Here it is not used.
type tty struct{ in, out *os.File }

func openTTY(io.Reader, io.Writer) *tty { return nil }

func (*tty) raw() error                { return nil }
func (*tty) restore() error            { return nil }
func (*tty) size() (width, height int) { return 80, 24 }

func notifyResized(chan<- os.Signal) {}
