// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: needs Linux")
	os.Exit(1)
}
