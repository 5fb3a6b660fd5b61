// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketPath is the room for a path in sockaddr_un on Linux, 108 bytes with
// the terminating zero. Others have a little less and report it themselves.
const maxSocketPath = 107

// A socketFile is the file of a listening socket. It remembers which file that
// is, so that a file that somebody else put there is not taken for it. The
// inode cannot be reused for another file while the socket is open.
type socketFile struct {
	path string
	info fs.FileInfo
}

// ours reports whether the path still leads to the socket. An error other than
// "not there" counts as yes, so that it never ends a router.
func (f *socketFile) ours() bool {
	info, err := os.Lstat(f.path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return os.SameFile(info, f.info)
}

// remove removes the file if it is still ours.
func (f *socketFile) remove() error {
	if !f.ours() {
		return nil
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// listenAt makes a listening socket at path with mode 0600.
//
// The protocol wants the socket created under umask 077, but the umask belongs
// to the whole process and would for that moment change files that other
// goroutines create. Creating the socket in place and setting its mode
// afterwards leaves it open to everybody in between; and between bind(2) and
// listen(2) it refuses connections, which wg(8) takes for stale and unlinks. So
// it is made in a directory that only we can enter and linked into place when
// it has its mode and accepts connections. link(2), unlike rename(2), never
// replaces what somebody else put there.
func listenAt(path string) (*net.UnixListener, *socketFile, error) {
	dir := filepath.Dir(path)
	if err := makeDirectory(dir); err != nil {
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
	return l, &socketFile{path: path, info: info}, nil
}

// linkInto gives the socket temp its mode and its place, replacing a stale
// socket there.
func linkInto(path, temp string) (fs.FileInfo, error) {
	if err := os.Chmod(temp, 0o600); err != nil {
		return nil, err
	}
	info, err := os.Lstat(temp)
	if err != nil {
		return nil, err
	}
	// The second round follows the removal of a stale socket. Whoever is faster
	// then is somebody who uses the path.
	for range 2 {
		if err = os.Link(temp, path); !errors.Is(err, fs.ErrExist) {
			break
		}
		if staleErr := removeStale(path); staleErr != nil {
			return nil, staleErr
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil, ErrInUse
	}
	return info, err
}

// removeStale removes the socket at path if nobody listens on it, and returns
// nil if there is nothing any more.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// connect(2) refuses for other files too.
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("file exists and is not a socket")
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		c.Close()
		return ErrInUse
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN): // somebody listens and is busy
		return ErrInUse
	case !errors.Is(err, syscall.ECONNREFUSED):
		return err
	}
	return (&socketFile{path: path, info: info}).remove()
}

// makeDirectory makes the directory of the socket, 0755 whatever the umask is,
// because wg(8) run by others lists it. An existing one stays as it is.
func makeDirectory(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}
