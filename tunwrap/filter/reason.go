// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

// A Reason says why a packet is denied; [Pass] is none.
type Reason uint8

// The reasons.
const (
	Pass            Reason = iota
	ByRule                 // a Deny rule
	ByDefault              // no rule takes it
	Transport              // no whole transport header: not known what it is
	FragmentFirst          // no first fragment was seen that has passed
	FragmentOverlap        // overlaps what was seen, or comes out of order, or did so before
)

// Reasons is how many values there are.
const Reasons = int(FragmentOverlap) + 1

// String returns a word for a counter.
func (r Reason) String() string {
	switch r {
	case Pass:
		return "pass"
	case ByRule:
		return "rule"
	case ByDefault:
		return "default"
	case Transport:
		return "transport"
	case FragmentFirst:
		return "fragment-first"
	case FragmentOverlap:
		return "fragment-overlap"
	}
	return "unknown"
}
