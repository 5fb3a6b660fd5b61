// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime/debug"
)

// A topCrash is a panic of one goroutine on its way to another, which restores the
// terminal before it panics with it: else the trace would be unreadable, and so would
// everything that is typed after it.
type topCrash struct {
	value any
	stack []byte
}

// Error implements error, for what the runtime prints.
func (c *topCrash) Error() string { return fmt.Sprintf("%v\n\n%s", c.value, c.stack) }

// catch hands a panic of the goroutine that defers it to crashes, which has room for it.
func catch(crashes chan<- *topCrash) {
	if v := recover(); v != nil {
		crashes <- &topCrash{value: v, stack: debug.Stack()}
	}
}
