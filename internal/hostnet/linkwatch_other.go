// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package hostnet

import "errors"

// LinkStats returns the counters of an interface. It needs Linux.
func LinkStats(string) (*LinkStatistics, error) { return nil, errors.ErrUnsupported }

func newLinkQuery(int) (linkQuery, error) { return nil, errors.ErrUnsupported }
