// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build race

package xdp

// poolForgets tells whether sync.Pool forgets what it is given: with the race
// detector it does, every fourth time.
const poolForgets = true
