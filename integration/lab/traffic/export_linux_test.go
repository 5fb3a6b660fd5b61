// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import "io"

// Pattern returns the first n bytes of a seed's content.
func Pattern(seed uint64, n int) []byte {
	b := make([]byte, n)
	newPattern(seed).fill(b)
	return b
}

// Check reads content of a seed.
func Check(seed uint64, r io.Reader) (int64, error) { return newChecker(seed).ReadFrom(r) }

// Account returns the result for packets that arrive in an order.
func Account(sent int64, arrived ...uint64) FlowResult {
	r := receiver{highest: -1}
	for _, n := range arrived {
		r.account(n)
	}
	return r.final(sent)
}
