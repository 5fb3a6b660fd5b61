// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
)

// childArgument is the first argument of the child. It is too long for an interface
// name and cannot be taken for one.
const childArgument = "exec-inside-namespaces"

// IsChild reports whether a process with these arguments, of which the first is the
// program's name, is a child that has to call [Child].
func IsChild(args []string) bool { return len(args) > 1 && args[1] == childArgument }

// Options are what a command runs with. Program, Command and Interface are required.
type Options struct {
	// Logger gets what the child could not do and did without. Nil discards it.
	Logger *slog.Logger

	// Program is the name that the child is started under, args[0] of [IsChild].
	Program string
	// Command is the command with its arguments, looked up as a shell does.
	Command []string
	// Files are standard input, output and error of the command.
	Files [3]*os.File
	// Signals are passed on to the child, from the start until it ends. Nil: none.
	Signals <-chan os.Signal

	// Endpoints are where the tunnel's peers are, and FwMark is the mark of its packets:
	// what an MTU of zero is worked out from.
	Endpoints []netip.Addr
	FwMark    uint32

	Network
}

// Network is the network of the command.
type Network struct {
	Interface  string         // name of the TUN
	Addresses  []netip.Prefix // of the TUN
	Routes     []netip.Prefix // what leads to the TUN
	MTU        int            // of the TUN in bytes, 68 to 65535; 0: that of the routes to Endpoints, less 80
	Queues     int            // of the TUN, 0 to 253; 0: as tunwrap chooses
	TxQueueLen int            // packets in each queue; 0: as tunwrap chooses

	DNS       []netip.Addr // name servers; none: resolv.conf stays as it is
	DNSSearch []string     // search domains; ignored without name servers
}

// maxQueues is how many descriptors fit in a message: SCM_MAX_FD, include/net/scm.h.
const maxQueues = 253

// An Error says why there is no sandbox and what to do about it.
type Error struct {
	Op     string // "make namespaces"
	Err    error
	Remedy string // a sentence for the operator, perhaps empty; no part of the message
}

// Error returns what was done and the cause.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A StatusError is the exit status of a command, or of the child before it became the
// command, that is not zero. Death by signal n is 128+n, as shells have it.
type StatusError struct{ Code int }

// Error names the status.
func (e *StatusError) Error() string { return fmt.Sprintf("exit status %d", e.Code) }
