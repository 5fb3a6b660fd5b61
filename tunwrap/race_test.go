// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build race

package tunwrap_test

// singleAllocs is what a call may allocate on average: the race detector makes
// sync.Pool forget every fourth of what it is given.
const singleAllocs = 4
