// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build race

package engine_test

// raceEnabled says that the race detector is on, which makes everything ten times
// slower.
const raceEnabled = true
