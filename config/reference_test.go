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

// TestReference parses the reference as it is, and once more with the keys and sections
// that it shows in comments, written as "#Key = value" and "#[Section]". WGConfig stays
// one: it takes the place of sections that are there.
func TestReference(t *testing.T) {
	text := readFile(t, reference)
	commented := regexp.MustCompile(`(?m)^#(\w+ = |\[)`)
	if !commented.MatchString(text) {
		t.Error("no key in a comment")
	}
	for name, text := range map[string]string{
		"as it is":    text,
		"uncommented": strings.Replace(commented.ReplaceAllString(text, "$1"), "WGConfig", "#WGConfig", 1),
	} {
		c, err := config.ParseWith(strings.NewReader(text), "router.conf", environment("PROXY_PASSWORD", "secret"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if w := used(c.Warnings); len(w) > 0 {
			t.Errorf("%s: warnings:\n%s", name, lines(w))
		}
		if c.Proxy.Empty() != (name == "as it is") {
			t.Errorf("%s: Proxy = %+v", name, c.Proxy)
		}
	}
}

// TestReferenceIsComplete wants every key in its section of the reference.
func TestReferenceIsComplete(t *testing.T) {
	section, seen := "", map[string]bool{}
	for line := range strings.Lines(readFile(t, reference)) {
		line = strings.TrimSpace(line)
		if header := strings.TrimPrefix(line, "#"); strings.HasPrefix(header, "[") {
			section = strings.Trim(header, "[]")
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
	if !seen[".WGConfig"] {
		t.Error("WGConfig is missing")
	}
}
