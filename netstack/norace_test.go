// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !race

package netstack_test

// raceEnabled says that the race detector is on, which makes sync.Pool forget.
const raceEnabled = false
