// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// openFiles returns the open files of the process: descriptor -> what the
// kernel says it is (path, "socket:[inode]", "anon_inode:…").
func openFiles(tb testing.TB) map[int]string {
	tb.Helper()
	const dir = "/proc/self/fd"
	d, err := os.Open(dir)
	if err != nil {
		tb.Fatalf("list open files: %v", err)
	}
	names, err := d.Readdirnames(-1)
	d.Close() // before the loop, which then does not find d itself
	if err != nil {
		tb.Fatalf("list open files: %v", err)
	}
	files := make(map[int]string, len(names))
	for _, name := range names {
		target, err := os.Readlink(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile
		}
		fd, convErr := strconv.Atoi(name)
		if err := errors.Join(err, convErr); err != nil {
			tb.Fatalf("list open files: %v", err)
		}
		files[fd] = target
	}
	return files
}
