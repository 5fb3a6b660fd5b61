// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one mistake or one doubtful place of a configuration.
type Problem struct {
	File    string // as it was given to [Load] or [Parse]; may be empty
	Line    int    // from 1; 0 when it concerns the file as a whole
	Key     string // the key or [Section] as it should be written; may be empty
	Message string // what is wrong, without secret values
	Hint    string // what would be right; may be empty
}

// String returns the problem on one line:
//
//	wg0.conf:7: AllowedIPs: "10.0.0.0/33" is not an address range; write ADDRESS/BITS, for example 10.0.0.0/24
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	} else if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// An Error is everything that is wrong with one configuration, in the order of
// its lines. It has at least one Problem.
type Error struct {
	Problems []Problem
}

// maxShown is how many problems [Error.Error] prints: more than a screen holds
// helps nobody, and a file that is no configuration has one in every line.
const maxShown = 100

// Error returns one line for each problem, at most 100, and how many were left out.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i == maxShown {
			fmt.Fprintf(&b, "\nand %d more", len(e.Problems)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// sortProblems orders ps by line, those of one line as they were found.
func sortProblems(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}
