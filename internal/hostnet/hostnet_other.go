// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

var errOther = fmt.Errorf("host network configuration on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// A State is what [Up] has done to the host, which it cannot on this system.
type State struct{}

// Up returns an error that wraps [errors.ErrUnsupported].
func Up(context.Context, *Options) (*State, error) { return nil, errOther }

// Update returns an error that wraps [errors.ErrUnsupported].
func (*State) Update(context.Context, *Options) error { return errOther }

// Down does nothing.
func (*State) Down(context.Context) error { return nil }

// Live returns an error that wraps [errors.ErrUnsupported].
func (*State) Live() ([]netip.Prefix, int, error) { return nil, 0, errOther }

// Furnish returns an error that wraps [errors.ErrUnsupported].
func Furnish(context.Context, *Options) error { return errOther }

// RoutedMTU returns the MTU for Ethernet.
func RoutedMTU([]netip.Addr, uint32) int { return computeMTU(nil, 0) }

// WatchRoutes returns an error that wraps [errors.ErrUnsupported].
func WatchRoutes(context.Context, func()) error { return errOther }

// RouteInterface returns an error that wraps [errors.ErrUnsupported].
func RouteInterface(netip.Addr, netip.Addr, uint32) (int, error) { return 0, errOther }
