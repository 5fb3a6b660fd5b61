// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package testutil

import "testing"

// openFiles returns nothing: only Linux lists the open files of a process.
func openFiles(testing.TB) map[int]string { return nil }
