// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package socketfile

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// maxPath is the room for a path in sockaddr_un on Linux, 108 bytes with the
// terminating zero. Others have a little less and report it themselves.
const maxPath = 107

// ErrInUse means that somebody accepts connections at the path.
var ErrInUse = errors.New("somebody listens there already")

// Listen makes a listening socket at path with the permissions mode. The directory is
// made with mode 0755 if it is missing. A stale socket is replaced; a path that
// somebody listens on is [ErrInUse], any other file an error. The address of the
// listener is where the socket was made, not path, and closing it does not remove the
// file.
//
// The umask belongs to the whole process; to change it would for that moment change
// files that other goroutines make. A socket that is made in place and gets its mode
// afterwards is open to everybody in between; and between bind(2) and listen(2) it
// refuses connections, which wg(8) takes for stale and unlinks. So it is made in a
// directory that only we can enter and linked into place when it has its mode and
// accepts connections. link(2), unlike rename(2), never replaces what somebody else
// put there.
func Listen(path string, mode fs.FileMode) (*net.UnixListener, *File, error) {
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
	if longest := max(len(temp), len(path)); longest > maxPath {
		return nil, nil, fmt.Errorf("path is %d bytes too long for a socket", longest-maxPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	l.SetUnlinkOnClose(false)
	defer os.Remove(temp)
	info, err := linkInto(path, temp, mode)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return l, &File{path, info}, nil
}

// linkInto gives the socket temp its mode and its place, replacing a stale socket
// there.
func linkInto(path, temp string, mode fs.FileMode) (fs.FileInfo, error) {
	if err := os.Chmod(temp, mode); err != nil {
		return nil, err
	}
	info, err := os.Lstat(temp)
	if err != nil {
		return nil, err
	}
	// The second round follows the removal of a stale socket. Whoever is faster then is
	// somebody who uses the path.
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

// removeStale removes the socket at path if nobody listens on it, and returns nil if
// there is nothing any more.
func removeStale(path string) error {
	f, err := At(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// connect(2) refuses for other files too.
	if f.info.Mode().Type() != fs.ModeSocket {
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
	return f.Remove()
}

// makeDirectory makes the directory of the socket, 0755 whatever the umask is, because
// clients run by others look for it. An existing one stays as it is.
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
