// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package testutil

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
)

var errNoNS = fmt.Errorf("network namespaces on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// An NS is a network namespace, which this system does not have.
type NS struct{}

// NewNS fails the test: this system has no network namespaces.
func NewNS(tb testing.TB) *NS {
	tb.Helper()
	tb.Fatal(errNoNS)
	return nil
}

// File returns nil.
func (*NS) File() *os.File { return nil }

// Path returns "".
func (*NS) Path() string { return "" }

// Do returns an error that wraps [errors.ErrUnsupported].
func (*NS) Do(func() error) error { return errNoNS }

// Run panics; [NewNS] has failed the test before.
func (*NS) Run(func()) { panic(errNoNS) }

// InNS returns an error that wraps [errors.ErrUnsupported].
func InNS(*os.File, func() error) error { return errNoNS }

// OnThrowawayThread runs f.
func OnThrowawayThread(f func() error) error { return f() }

func probeNetNS() error { return errNoNS }
