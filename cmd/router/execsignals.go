// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// execSignals takes the signals that would end the router before its command, and
// returns a channel of those that the command has to be told. The others come from a
// terminal, which sends them to the command too. Being caught rather than ignored here
// they have their usual effect on the command; those that were ignored from the start
// stay so, as nohup(1) wants it.
func execSignals() (forward <-chan os.Signal, stop func()) {
	// Some room: while the command is being started nobody takes them.
	told, terminal := make(chan os.Signal, 4), make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(told, s)
		}
	}
	// SIGPIPE: a log line that nobody reads must not end the tunnel.
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGQUIT, syscall.SIGPIPE} {
		if !signal.Ignored(s) {
			signal.Notify(terminal, s) // which nobody reads
		}
	}
	return told, func() {
		signal.Stop(told)
		signal.Stop(terminal)
	}
}
