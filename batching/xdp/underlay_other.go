// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package xdp

import (
	"errors"
	"fmt"
)

// An Underlay is all queues of one network interface. There is none on this
// platform: [Open] always fails.
type Underlay struct{}

// Open fails: AF_XDP is Linux's. The error is [errors.ErrUnsupported].
func Open(o *Options) (*Underlay, error) {
	if _, err := o.withDefaults(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("xdp: only Linux has AF_XDP sockets: %w", errors.ErrUnsupported)
}

// Conns returns none.
func (u *Underlay) Conns() []*Conn { return nil }

// Listen does nothing.
func (u *Underlay) Listen(port uint16) {}

// Beside does nothing.
func (u *Underlay) Beside(v4, v6 []Kernel) {}

// SetMark does nothing.
func (u *Underlay) SetMark(mark uint32) {}

// Status returns an empty one.
func (u *Underlay) Status() Status { return Status{} }

// Close does nothing.
func (u *Underlay) Close() error { return nil }
