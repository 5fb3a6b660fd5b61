// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package xsk

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// A Socket is an AF_XDP socket, which this system does not have.
type Socket struct{}

var errNone = fmt.Errorf("xsk: AF_XDP on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Open fails with an error that wraps [errors.ErrUnsupported].
func Open(_ int, o *Options) (*Socket, error) {
	if _, err := o.withDefaults(); err != nil {
		return nil, err
	}
	return nil, errNone
}

// NewMemory fails with an error that wraps [errors.ErrUnsupported].
func NewMemory(o *MemoryOptions) (*Memory, error) {
	if _, err := o.withDefaults(); err != nil {
		return nil, err
	}
	return nil, errNone
}

// The methods are never called: there is no Socket.

func (*Socket) FD() int                               { return -1 }
func (*Socket) Options() Options                      { return Options{} }
func (*Socket) ZeroCopy() bool                        { return false }
func (*Socket) MaxReceive() int                       { return 0 }
func (*Socket) Stats() Stats                          { return Stats{} }
func (*Socket) SetReadDeadline(time.Time) error       { return errNone }
func (*Socket) SetWriteDeadline(time.Time) error      { return errNone }
func (*Socket) Close() error                          { return errNone }
func (*Socket) Receive([]Frame) (int, error)          { return 0, errNone }
func (*Socket) BatchRead([]Frame) (int, error)        { return 0, errNone }
func (*Socket) WaitRead() error                       { return errNone }
func (*Socket) Poll(time.Duration) (int, int, error)  { return 0, 0, errNone }
func (*Socket) Release([]Frame) error                 { return errNone }
func (*Socket) Alloc([]Frame) (int, error)            { return 0, errNone }
func (*Socket) Free([]Frame) error                    { return errNone }
func (*Socket) Transmit([]Frame) (int, error)         { return 0, errNone }
func (*Socket) BatchWrite([][]byte, int) (int, error) { return 0, errNone }
func (*Socket) Complete() (int, error)                { return 0, errNone }
func (*Socket) WaitWrite() error                      { return errNone }
