// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	shell = "/bin/sh"
	// defaultPath is where commands are without PATH: what execvp(3) takes.
	defaultPath = "/bin:/usr/bin"
)

// execute replaces the process by the command, which is looked up in PATH as
// execvp(3) does; it returns only with an error, which is [fs.ErrNotExist] if the
// command is nowhere. A text file without "#!" is a shell script.
func execute(command, environ []string) error {
	err := error(syscall.ENOENT)
	for _, path := range candidates(command[0], environ) {
		e := syscall.Exec(path, command, environ)
		if errors.Is(e, syscall.ENOEXEC) {
			e = syscall.Exec(shell, append([]string{shell, path}, command[1:]...), environ)
		}
		switch {
		case errors.Is(e, syscall.ENOENT), errors.Is(e, syscall.ENOTDIR):
		case errors.Is(e, fs.ErrPermission):
			// Not a file in a folder of PATH that is not for us; shells see it so too.
			if _, unseen := os.Stat(path); unseen == nil || path == command[0] {
				err = e // unless another one is found
			}
		default:
			return e
		}
	}
	if errors.Is(err, syscall.ENOENT) && !strings.Contains(command[0], "/") {
		return errNoCommand
	}
	return err
}

// errNoCommand is what a shell says.
var errNoCommand error = notFoundError{}

type notFoundError struct{}

func (notFoundError) Error() string        { return "command not found" }
func (notFoundError) Is(target error) bool { return target == fs.ErrNotExist }

// candidates are the paths that a command may have.
func candidates(name string, environ []string) []string {
	if name == "" {
		return nil
	}
	if strings.Contains(name, "/") {
		return []string{name}
	}
	list := defaultPath
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			list = value
		}
	}
	var out []string
	for _, dir := range strings.Split(list, ":") {
		if dir == "" {
			dir = "." // POSIX.1-2017, 8.3
		}
		path := filepath.Join(dir, name)
		if !strings.Contains(path, "/") {
			path = "./" + path
		}
		out = append(out, path)
	}
	return out
}
