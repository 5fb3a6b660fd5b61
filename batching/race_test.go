// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build race

package batching_test

// poolAllocs is what a call may allocate on average: the race detector makes
// sync.Pool forget every fourth of what it is given.
const poolAllocs = 4

// endurancePackets is the length of TestEndurance.
const endurancePackets = 300_000
