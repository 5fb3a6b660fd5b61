// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package hostnet

import "errors"

// LookAround returns what the routing tables of the host say. It needs Linux.
func LookAround(string) (*Surroundings, error) { return nil, errors.ErrUnsupported }
