// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package redirect

import (
	"errors"
	"fmt"
)

// A Program exists on Linux only.
type Program struct{}

// Load returns an error that wraps [errors.ErrUnsupported].
func Load(*Options) (*Program, error) {
	return nil, fmt.Errorf("redirect: XDP needs Linux: %w", errors.ErrUnsupported)
}

// Close does nothing.
func (*Program) Close() error { return nil }
