// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// socketMode lets the group of the directory's owner ask too, so that a scraper
// needs no root.
const socketMode = 0o660

// maxSocketPath is the room for a path in sockaddr_un on Linux, 108 bytes with the
// terminating zero.
const maxSocketPath = 107

// errInUse says that somebody else listens at the path.
var errInUse = errors.New("somebody listens there already")

// A socketFile is the file of a listening socket. It remembers which file that is,
// so that Close does not remove another's. The inode cannot be used again while the
// socket is open.
type socketFile struct {
	path string
	info fs.FileInfo
}

// remove removes the file if it is still the same.
func (f *socketFile) remove() error {
	info, err := os.Lstat(f.path)
	if err == nil && os.SameFile(info, f.info) {
		err = os.Remove(f.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// listenUnix makes a listening socket at path, in a directory that is made with mode
// 0755 if it is missing. A stale socket is replaced. The socket is made in a directory
// that only we can enter and linked into place when it has its mode, as the umask
// belongs to the whole process.
func listenUnix(path string) (net.Listener, *socketFile, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	private, err := os.MkdirTemp(dir, ".") // 0700
	if err != nil {
		return nil, nil, err
	}
	defer os.Remove(private)
	temp := filepath.Join(private, "s")
	if longest := max(len(temp), len(path)); longest > maxSocketPath {
		return nil, nil, fmt.Errorf("path is %d bytes too long for a socket", longest-maxSocketPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	l.SetUnlinkOnClose(false)
	defer os.Remove(temp)
	info, err := linkInto(path, temp)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return &unixListener{l, path}, &socketFile{path, info}, nil
}

// linkInto gives the socket temp its mode and its place.
func linkInto(path, temp string) (fs.FileInfo, error) {
	if err := os.Chmod(temp, socketMode); err != nil {
		return nil, err
	}
	info, err := os.Lstat(temp)
	if err != nil {
		return nil, err
	}
	for range 2 { // the second follows the removal of a stale socket
		if err = os.Link(temp, path); !errors.Is(err, fs.ErrExist) {
			break
		}
		if staleErr := removeStale(path); staleErr != nil {
			return nil, staleErr
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil, errInUse
	}
	return info, err
}

// removeStale removes the socket at path if nobody listens on it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket { // connect(2) refuses for other files too
		return errors.New("file exists and is not a socket")
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		c.Close()
		return errInUse
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN): // somebody listens and is busy
		return errInUse
	case !errors.Is(err, syscall.ECONNREFUSED):
		return err
	}
	return (&socketFile{path, info}).remove()
}

// A unixListener tells where its file is, not where it was made.
type unixListener struct {
	net.Listener
	path string
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }
