// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !race

package tunwrap_test

const singleAllocs = 0
