// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"io/fs"
)

// A progress is one line of output that may change until it is finished. On
// anything but a terminal it appears once, when it is finished.
type progress struct {
	w     io.Writer
	label string
	live  bool
}

func newProgress(w io.Writer, label string) *progress {
	return &progress{w: w, label: label, live: isTerminal(w)}
}

// isTerminal reports whether w is a character device, which is as good as a
// terminal here: /dev/null does not mind.
func isTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// show replaces the line.
func (p *progress) show(text string) {
	if p.live {
		// \033[K clears what is left of a longer line.
		fmt.Fprintf(p.w, "\r%-10s %s\033[K", p.label, text)
	}
}

// finish replaces the line for good.
func (p *progress) finish(text string) error {
	if p.live {
		p.show(text)
		_, err := fmt.Fprintln(p.w)
		return err
	}
	_, err := fmt.Fprintf(p.w, "%-10s %s\n", p.label, text)
	return err
}
