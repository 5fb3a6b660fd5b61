// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Exit statuses of what did not become a command, as env(1) has them.
const (
	exitFailure   = 125
	exitNoExecute = 126
	exitNotFound  = 127
)

// Child is the whole life of the child, to be called at the start of a program whose
// arguments are a child's. It returns, with an exit status, only if it has not become
// the command. environ is the environment of the command, errors that the parent does
// not print go to stderr.
func Child(args, environ []string, stderr *os.File) int {
	runtime.LockOSThread() // capabilities are a thread's
	if len(args) < 4 {
		fmt.Fprintf(stderr, "router: %s is no command; it is for the router's own use\n", childArgument)
		return exitFailure
	}
	conn, err := dialParent(args[2])
	if err != nil {
		fmt.Fprintf(stderr, "router: %s is for the router's own use: %v\n", childArgument, err)
		return exitFailure
	}
	c := &child{conn: conn, in: json.NewDecoder(conn)}
	var m setup
	if c.in.Decode(&m) != nil {
		return exitFailure // the parent has ended
	}
	if !c.answer(c.prepare(&m)) {
		return exitFailure
	}
	var running start
	if c.in.Decode(&running) != nil || !running.Start {
		return exitFailure // the router did not start
	}
	return c.become(&m, args[3:], environ, stderr)
}

// dialParent opens the socket that is a descriptor of this process.
func dialParent(number string) (*net.UnixConn, error) {
	fd, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "parent")
	if f == nil {
		return nil, os.ErrInvalid
	}
	conn, err := net.FileConn(f) // a copy, which the command does not get
	if err != nil {
		return nil, err
	}
	f.Close()
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, os.ErrInvalid
	}
	return unixConn, nil
}

// A child is the process in the namespaces until it is the command.
type child struct {
	conn     *net.UnixConn
	in       *json.Decoder
	queues   []*os.File
	warnings []string
}

// prepare makes everything in the namespaces.
func (c *child) prepare(m *setup) error {
	log := slog.New(&recorder{into: &c.warnings})
	if err := c.setMounts(&m.Network, log); err != nil {
		return withRemedy(err, m.UserNS, os.DirFS("/proc/sys"))
	}
	if err := c.setNetwork(&m.Network, log); err != nil {
		return withRemedy(err, m.UserNS, os.DirFS("/proc/sys"))
	}
	return nil
}

// answer tells the parent how it went, and reports whether it is to go on.
func (c *child) answer(err error) bool {
	a := answer{Warnings: c.warnings}
	if err != nil {
		a.Op, a.Err = "prepare the command", err.Error()
		if e, ok := errors.AsType[*Error](err); ok {
			a.Op, a.Err, a.Remedy = e.Op, e.Err.Error(), e.Remedy
		}
	}
	sent := send(c.conn, &a, c.queues)
	closeAll(c.queues)
	return err == nil && sent == nil
}

// become executes the command.
func (c *child) become(m *setup, command, environ []string, stderr *os.File) int {
	if m.UserNS {
		if err := dropCapabilities(); err != nil {
			fmt.Fprintf(stderr, "router: drop capabilities: %v\n", err)
			return exitFailure
		}
	}
	// Where it was set by the parent, execve of this program may have cleared it.
	err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	if err == nil && os.Getppid() != m.Parent {
		err = errors.New("the router has ended")
	}
	if err != nil {
		fmt.Fprintf(stderr, "router: watch the router from the command: %v\n", err)
		return exitFailure
	}
	err = execute(command, environ)
	fmt.Fprintf(stderr, "router: %s: %v\n", command[0], err)
	if errors.Is(err, fs.ErrNotExist) {
		return exitNotFound
	}
	return exitNoExecute
}
