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
func writesBytes(tun.Device) bool                                   { return false }
func classifyWrite(error) (writeDrop, bool)                         { return dropOther, false }

// A kernelWriter exists on Linux only.
type kernelWriter struct{}

func (*kernelWriter) write([][]byte, int, *writeResult) error { return errNotLinux }
func (*Device) openKernel([]tun.Queue, *Options) error        { return errNotLinux }
