// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !race

package batching_test

const poolAllocs = 0

// endurancePackets is the length of TestEndurance: some 15 seconds.
const endurancePackets = 10_000_000
