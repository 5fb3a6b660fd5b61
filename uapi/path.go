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
	"strings"
	"syscall"
)

// DefaultDirectory is where wg(8) and wgctrl look for control sockets.
const DefaultDirectory = "/var/run/wireguard"

// socketSuffix follows the interface name in the file name of a socket.
const socketSuffix = ".sock"

// SocketPath returns the path of the control socket of an interface in
// [DefaultDirectory].
func SocketPath(name string) string {
	return filepath.Join(DefaultDirectory, name+socketSuffix)
}

// Sockets returns the interface names, sorted, of the sockets in dir that accept
// a connection. Sockets that exist but cannot be reached for another reason than
// being stale, such as a missing permission, are in the error, one each; the
// names are good all the same. A missing directory is no error.
func Sockets(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list control sockets: %w", err)
	}
	var errs []error
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), socketSuffix)
		if !ok || name == "" || e.Type() != fs.ModeSocket {
			continue
		}
		c, err := net.Dial("unix", filepath.Join(dir, e.Name()))
		switch {
		case err == nil:
			c.Close()
			names = append(names, name)
		case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
			// Its program is gone, or just went.
		default:
			errs = append(errs, err)
		}
	}
	return names, errors.Join(errs...)
}
