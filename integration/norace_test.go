// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !race

package integration

// raceEnabled makes a test run with the race detector build the router with it.
const raceEnabled = false
