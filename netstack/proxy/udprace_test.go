// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build race

package proxy

// udpRace says that the race detector is on, which makes sync.Pool forget.
const udpRace = true
