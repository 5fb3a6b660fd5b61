// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import "strings"

// nearest returns the name that the user most likely meant by word, or "" when
// none is near: the name with the fewest edits, at most a third of its letters,
// or else one that word is the beginning or the end of.
func nearest(word string, names []string) string {
	word = strings.ToLower(word)
	best, bestEdits := "", 0
	for _, name := range names {
		edits := editDistance(word, strings.ToLower(name))
		if edits <= max(1, len(name)/3) && (best == "" || edits < bestEdits) {
			best, bestEdits = name, edits
		}
	}
	if best != "" || len(word) < 3 {
		return best
	}
	for _, name := range names {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, word) || strings.HasSuffix(lower, word) {
			return name
		}
	}
	return ""
}

// editDistance returns how many bytes must be inserted, removed, replaced or
// swapped with their neighbour to turn a into b (the optimal string alignment
// distance: no byte is edited twice).
func editDistance(a, b string) int {
	// Rows of the table: distances from a[:i-2], a[:i-1] and a[:i] to each b[:j].
	before := make([]int, len(b)+1)
	above := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := above[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
