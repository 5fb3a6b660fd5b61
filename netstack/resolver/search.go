// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"errors"
	"fmt"
	"strings"
)

const (
	// maxName is the longest name in text, without the final dot: 255 bytes on
	// the wire less one length and the root (RFC 1035, section 2.3.4).
	maxName = 253
	// maxLabel is the longest part of it (likewise).
	maxLabel = 63
)

// absolute checks a name and returns it in lower case with a final dot.
func absolute(name string) (string, error) {
	name = strings.TrimSuffix(name, ".")
	if name == "" {
		return "", errors.New("empty name")
	}
	if len(name) > maxName {
		return "", fmt.Errorf("name of %d bytes: longer than %d", len(name), maxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return "", fmt.Errorf("part of %d bytes in name: not within 1 and %d", len(label), maxLabel)
		}
		for _, c := range []byte(label) {
			switch {
			case c <= ' ' || c == 0x7f:
				return "", fmt.Errorf("byte %#02x in name", c)
			case c > 0x7f:
				return "", errors.New("name is not in ASCII: use its xn-- form")
			}
		}
	}
	return strings.ToLower(name) + ".", nil
}

// What special says about a name.
const (
	isOrdinary = iota
	isLocal    // the host itself
	isNothing  // without a meaning in DNS
)

// special sorts out the names that servers must not be asked for.
func special(name string) int {
	for _, t := range []struct {
		top  string
		kind int
	}{
		{"localhost.", isLocal},
		{"invalid.", isNothing},
		{"onion.", isNothing},
	} {
		if name == t.top || strings.HasSuffix(name, "."+t.top) {
			return t.kind
		}
	}
	return isOrdinary
}

// candidates returns the absolute names that host may stand for, in the order
// of resolv.conf(5) with ndots 1. name is host made absolute.
func candidates(host, name string, search []string) []string {
	if strings.HasSuffix(host, ".") {
		return []string{name}
	}
	asIs := strings.Contains(host, ".")
	out := make([]string, 0, len(search)+1)
	if asIs {
		out = append(out, name)
	}
	for _, domain := range search {
		if c := name + domain; len(c) <= maxName+1 && special(c) == isOrdinary {
			out = append(out, c)
		}
	}
	if !asIs {
		out = append(out, name)
	}
	return out
}
