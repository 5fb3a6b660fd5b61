// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/uapi"
)

// How long a running router has for an answer. A reload may resolve names and
// change the host's routes.
const (
	statusTimeout = 15 * time.Second
	reloadTimeout = 2 * time.Minute
)

func socketDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "socket-dir", uapi.DefaultDirectory, "`DIR` of the control sockets, NAME.sock")
}

// socketPath is the control socket of a router: a name in dir, or a path.
func socketPath(dir, nameOrPath string) string {
	if strings.ContainsRune(nameOrPath, filepath.Separator) {
		return nameOrPath
	}
	return filepath.Join(dir, nameOrPath+".sock")
}

// connect connects to a router, with a bound on what follows.
func connect(dir, nameOrPath string, timeout time.Duration) (*uapi.Client, error) {
	path := socketPath(dir, nameOrPath)
	c, err := uapi.Dial(path)
	if err == nil {
		if err = c.SetDeadline(time.Now().Add(timeout)); err == nil {
			return c, nil
		}
		c.Close()
	}
	e := &exitError{code: exitRuntime, err: err}
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.hint = "run it as root, or as the user who runs the router"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		e.err = fmt.Errorf("no router answers at %s", path)
		e.hint = runningHint(dir)
	}
	return nil, e
}

// running returns the names of the routers in dir.
func running(dir string) ([]string, error) {
	names, err := uapi.Sockets(dir)
	if errors.Is(err, fs.ErrPermission) {
		err = &exitError{code: exitRuntime, err: err, hint: "run it as root, or as the user who runs the router"}
	}
	return names, err
}

// oneRouter is the router that args name, or the only one there is.
func (a *app) oneRouter(dir string, args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	names, err := running(dir)
	switch {
	case len(names) == 1:
		return names[0], nil
	case len(names) > 1:
		return "", &exitError{code: exitUsage, err: errors.New("several routers are running, name one"), hint: "running: " + strings.Join(names, ", ")}
	case err != nil:
		return "", err
	}
	return "", fmt.Errorf("no router is running in %s", dir)
}

func runningHint(dir string) string {
	names, _ := uapi.Sockets(dir)
	if len(names) == 0 {
		return `no router is running; start one with "router up"`
	}
	return "running: " + strings.Join(names, ", ")
}
