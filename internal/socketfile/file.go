// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package socketfile

import (
	"errors"
	"io/fs"
	"os"
)

// A File is the file of a listening socket. It remembers which file that is, so that
// one that somebody else put there is not taken for it. The inode cannot be used again
// for another file while the socket is open. It is immutable and safe for concurrent
// use.
type File struct {
	path string
	info fs.FileInfo
}

// At returns the file that is at path now.
func At(path string) (*File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	return &File{path, info}, nil
}

// Path returns where the file was made.
func (f *File) Path() string { return f.path }

// Ours reports whether the path still leads to the file. An error other than "not
// there" counts as yes, so that it never ends a server.
func (f *File) Ours() bool {
	info, err := os.Lstat(f.path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return os.SameFile(info, f.info)
}

// Remove removes the file if it is still ours. Call it before the socket is closed.
func (f *File) Remove() error {
	if !f.Ours() {
		return nil
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
