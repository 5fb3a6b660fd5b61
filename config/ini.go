// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import "strings"

// isINI reports whether text is a file in the manner of wireproxy, which has sections of
// [Proxy] or includes another file. Its library also takes ; for the beginning of a
// comment and removes quotes, in all sections.
func isINI(text string) bool {
	top := true
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.Trim(line, space)
		if name, header := strings.CutPrefix(line, "["); header {
			top = false
			name, _, _ = strings.Cut(name, "#")
			name, _, _ = strings.Cut(name, ";")
			if kindOf(strings.TrimSuffix(compact(name), "]")) != nil {
				return true
			}
		}
		word, _, assigned := strings.Cut(line, "=")
		if top && assigned && sameName(compact(word), wgConfig) {
			return true
		}
	}
	return false
}

// Quotes that keep everything between them, # and ; too. Simple quotes do not.
const (
	backQuote   = "`"
	tripleQuote = `"""`
)

// iniValue returns what the part of a line behind = means: without its comment, and
// without quotes around it.
func iniValue(text string) string {
	text = strings.Trim(text, space)
	for _, quote := range []string{backQuote, tripleQuote} {
		inner, opened := strings.CutPrefix(text, quote)
		if !opened {
			continue
		}
		inner, rest, closed := strings.Cut(inner, quote)
		if rest = strings.Trim(rest, space); closed && (rest == "" || rest[0] == '#' || rest[0] == ';') {
			return inner
		}
	}
	if end := strings.IndexAny(text, "#;"); end >= 0 {
		text = strings.TrimRight(text[:end], space)
	}
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && strings.IndexByte(text[1:], text[0]) == n-2 {
		return text[1 : n-1]
	}
	return text
}

// iniQuote is the reverse of [iniValue] and of [entry.expand] for a value without line breaks.
func iniQuote(value string) string {
	if strings.HasPrefix(value, "$") {
		value = "$" + value
	}
	switch {
	case iniValue(value) == value:
		return value
	case strings.Contains(value, backQuote):
		return tripleQuote + value + tripleQuote
	}
	return backQuote + value + backQuote
}

// iniUnquote is what reading makes of the text of iniQuote.
func iniUnquote(text string) string {
	value := iniValue(text)
	if strings.HasPrefix(value, "$$") {
		return value[1:]
	}
	return value
}

// expand replaces a value $NAME by the environment variable NAME, and $$ at the beginning
// by $. No message repeats what may be a secret that begins with $.
func (e *entry) expand(k *key) bool {
	rest, found := strings.CutPrefix(e.value, "$")
	switch {
	case !found:
		return true
	case strings.HasPrefix(rest, "$"):
		e.value = rest
		return true
	}
	which := show(rest)
	if k.secret {
		which = "of this name"
	}
	if e.options.LookupEnv == nil {
		e.wrong("write the value itself; $$ stands for a $ at the beginning", "environment variables are not read here")
		return false
	}
	value, ok := e.options.LookupEnv(rest)
	switch {
	case !ok:
		e.wrong("set and export it; $$ stands for a $ at the beginning", "environment variable %s is not set", which)
		return false
	case strings.ContainsAny(value, "\n\r\x00"):
		e.wrong("set it to a single line", "environment variable %s has a line break or a zero byte", which)
		return false
	case value == "" && !k.empty:
		e.wrong("set it to a value", "environment variable %s is empty", which)
		return false
	}
	e.value = value
	return true
}

// writable wants a value that a file can hold: quotes and environment variables bring in
// what no line has.
func (e *entry) writable(k *key) bool {
	switch {
	case !k.text && e.ini && strings.ContainsAny(e.value, "#;\"'`"), !k.text && strings.Contains(e.value, "#"):
		e.wrong("remove it", "there is a comment or a quotation mark in the value")
	case k.text && iniUnquote(iniQuote(e.value)) != e.value:
		e.wrong("remove one kind of quotation marks", "no quotation marks can hold the value")
	default:
		return true
	}
	return false
}
