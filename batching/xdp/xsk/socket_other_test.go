// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package xsk_test

import (
	"errors"
	"testing"

	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

func TestUnsupported(t *testing.T) {
	if _, err := xsk.Open(1, nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want errors.ErrUnsupported", err)
	}
	if _, err := xsk.NewMemory(nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("memory: got %v, want errors.ErrUnsupported", err)
	}
	if _, err := xsk.NewMemory(&xsk.MemoryOptions{Queues: -1}); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("memory, bad option: got %v", err)
	}
	if _, err := xsk.Open(1, &xsk.Options{Queue: -1}); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("bad option: got %v", err)
	}
}
