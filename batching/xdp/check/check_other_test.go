// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package check

import (
	"errors"
	"testing"
)

func TestRunElsewhere(t *testing.T) {
	if _, err := Run(nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}
