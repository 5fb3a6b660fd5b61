// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// A kernel that makes no fill ring without a UMEM of the socket's own shares none;
// every other error says what it is.
func TestSharingError(t *testing.T) {
	for _, tt := range []struct {
		err         error
		registered  bool
		unsupported bool
	}{
		{unix.EINVAL, false, true},
		{unix.EINVAL, true, false},
		{unix.ENOMEM, false, false},
	} {
		s := &Socket{registered: tt.registered}
		got := s.sharingError(tt.err)
		if errors.Is(got, errors.ErrUnsupported) != tt.unsupported || !tt.unsupported && got != tt.err {
			t.Errorf("%v, registered %v: got %v", tt.err, tt.registered, got)
		}
	}
}
