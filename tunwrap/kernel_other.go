// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package tunwrap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/tun"
)

var errNotLinux = fmt.Errorf("tunwrap: on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// A kernelReader exists on Linux only.
type kernelReader struct{ drain drain }

func newKernelReader(*os.File, *atomic.Bool) (*kernelReader, error) { return nil, errNotLinux }
func (*kernelReader) read([]byte, []tun.ReadPacket) (int, error)    { return 0, errNotLinux }
func gone(*os.File) bool                                            { return false }
func deviceName(*os.File) (string, error)                           { return "", errNotLinux }
func deviceMTU(*os.File) (int, error)                               { return 0, errNotLinux }
func isKernelTUN(*os.File) bool                                     { return false }
func setHeaderLen(*os.File) error                                   { return errNotLinux }
func writesBytes(tun.Device) bool                                   { return false }
func classifyWrite(error) (writeDrop, int, bool)                    { return dropOther, 0, false }

// A directWriter exists on Linux only.
type directWriter struct{}

func newDirectWriter(*kernelReader) directWriter { return directWriter{} }

func (*directWriter) single([]byte, int) (int, error, bool)   { return 0, nil, false }
func (*directWriter) merged([][]byte, int) (int, error, bool) { return 0, nil, false }
