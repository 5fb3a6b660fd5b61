// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package check

import (
	"errors"
	"fmt"
)

// Run returns an error that wraps [errors.ErrUnsupported].
func Run(*Options) (*Report, error) {
	return nil, fmt.Errorf("check: XDP needs Linux: %w", errors.ErrUnsupported)
}
