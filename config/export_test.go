// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

// FindIn is Find with another directory for names.
var FindIn = find

// Functions under test that nobody else calls.
var (
	EditDistance = editDistance
	Nearest      = nearest
	ParseSize    = parseSize
	FormatSize   = formatSize[int]
	Remedy       = remedy
)

// KnownKeys returns the keys of each section.
func KnownKeys() map[string][]string {
	known := map[string][]string{}
	for _, s := range newParser("").sections {
		known[s.name] = s.names()
	}
	return known
}
