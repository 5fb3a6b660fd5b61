// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !race

package batching_test

const poolAllocs = 0
