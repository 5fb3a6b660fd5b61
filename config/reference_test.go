// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

// reference is the commented configuration that users copy.
const reference = "../docs/router.conf"

// TestReference parses the reference as it is, and once more with the keys that it
// shows in comments, written as "#Key = value".
func TestReference(t *testing.T) {
	text := readFile(t, reference)
	commented := regexp.MustCompile(`(?m)^#(\w+ = )`)
	if !commented.MatchString(text) {
		t.Error("no key in a comment")
	}
	for name, text := range map[string]string{
		"as it is":    text,
		"uncommented": commented.ReplaceAllString(text, "$1"),
	} {
		if c := mustParse(t, text); len(c.Warnings) > 0 {
			t.Errorf("%s: warnings:\n%s", name, lines(c.Warnings))
		}
	}
}

// TestReferenceIsComplete wants every key in its section of the reference.
func TestReferenceIsComplete(t *testing.T) {
	section, seen := "", map[string]bool{}
	for line := range strings.Lines(readFile(t, reference)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
		}
		if key, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), " = "); ok {
			seen[section+"."+key] = true
		}
	}
	for section, keys := range config.KnownKeys() {
		for _, key := range keys {
			if !seen[section+"."+key] {
				t.Errorf("%s of [%s] is missing", key, section)
			}
		}
	}
}
