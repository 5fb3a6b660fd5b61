// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// notACommand returns an error when args, which will be taken for an interface
// to make, look like a mistyped command instead. Behind "--" anything is a name.
func notACommand(cmd *cobra.Command, args []string) error {
	if cmd.ArgsLenAtDash() == 0 {
		if len(args) > 1 {
			return usagef(cmd, "an interface name stands alone")
		}
		return nil
	}
	if name := resembling(cmd, args[0]); name != "" {
		return &exitError{
			code: exitUsage,
			err:  fmt.Errorf("%q is not a command; did you mean %q?", args[0], name),
			hint: fmt.Sprintf("to make an interface of this name: router -- %s", args[0]),
		}
	}
	if len(args) > 1 {
		return usagef(cmd, "%q is not a command, and an interface name stands alone", args[0])
	}
	return nil
}

// resembling returns the command below cmd that word resembles, or "".
func resembling(cmd *cobra.Command, word string) string {
	for _, sub := range cmd.Commands() {
		if !sub.Hidden && resembles(word, sub.Name()) {
			return sub.Name()
		}
	}
	return ""
}

// resembles reports whether word is command with a typing mistake in it: one in
// a command of four or five letters, two in a longer one. Commands that are
// shorter are not guessed: "up" is one letter away from "us" and many other
// good interface names, which wg-quick must be able to make.
func resembles(word, command string) bool {
	switch n := len(command); {
	case n < 4:
		return false
	case n < 6:
		return distance(word, command) <= 1
	default:
		return distance(word, command) <= 2
	}
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour that make b of a (optimal string alignment).
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
