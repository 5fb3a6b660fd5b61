// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/tunrouter/tunrouter/tunwrap"
)

const instead = "use netstack mode, which works on every system"

// A Sandbox is a child, which there are none of on this system.
type Sandbox struct{}

// Start returns an [*Error] that wraps [errors.ErrUnsupported].
func Start(*Options) (*Sandbox, error) {
	return nil, &Error{Op: "make namespaces for the command", Err: fmt.Errorf("on %s: %w", runtime.GOOS, errors.ErrUnsupported), Remedy: instead}
}

// Child returns an exit status.
func Child(_, _ []string, _ *os.File) int { return 125 }

// Device returns [errors.ErrUnsupported].
func (*Sandbox) Device() (*tunwrap.Device, error) { return nil, errors.ErrUnsupported }

// Exec returns [errors.ErrUnsupported].
func (*Sandbox) Exec() error { return errors.ErrUnsupported }

// Done returns nil.
func (*Sandbox) Done() <-chan struct{} { return nil }

// Signal returns [errors.ErrUnsupported].
func (*Sandbox) Signal(os.Signal) error { return errors.ErrUnsupported }

// Wait returns [errors.ErrUnsupported].
func (*Sandbox) Wait() error { return errors.ErrUnsupported }

// Close does nothing.
func (*Sandbox) Close() {}
