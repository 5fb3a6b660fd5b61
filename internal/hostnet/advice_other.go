// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package hostnet

// Advise returns nothing: it needs Linux.
func Advise(AdviceOptions) []Advice { return nil }
