// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

import (
	"fmt"
	"strings"
)

// A FilterError says which word of a filter is wrong.
type FilterError struct {
	Word string // as written, "" at the end of the filter
	At   int    // where it begins, in bytes
	Want string // what should be there
}

func (e *FilterError) Error() string {
	if e.Word == "" {
		return "filter: it ends early: want " + e.Want
	}
	return fmt.Sprintf("filter: %q at column %d: want %s", e.Word, e.At+1, e.Want)
}

// A word is one word of a filter.
type word struct {
	text   string
	at     int
	quoted bool // it is a name, whatever it looks like
}

// is reports whether the word is one of the given ones of the language.
func (w word) is(texts ...string) bool {
	if w.quoted {
		return false
	}
	for _, t := range texts {
		if w.text == t {
			return true
		}
	}
	return false
}

// words cuts a filter into words: at white space, around parentheses, && and ||,
// behind an exclamation mark, and around what is quoted.
func words(text string) ([]word, error) {
	var out []word
	for at := 0; at < len(text); {
		c := text[at]
		switch {
		case strings.IndexByte(space, c) >= 0:
			at++
		case c == '(' || c == ')' || c == '!':
			out = append(out, word{text: text[at : at+1], at: at})
			at++
		case c == '"' || c == '\'':
			n := strings.IndexByte(text[at+1:], c)
			if n < 0 {
				return nil, &FilterError{Word: text[at:], At: at, Want: "a second quotation mark"}
			}
			out = append(out, word{text: text[at+1 : at+1+n], at: at, quoted: true})
			at += n + 2
		case strings.HasPrefix(text[at:], "&&") || strings.HasPrefix(text[at:], "||"):
			out = append(out, word{text: text[at : at+2], at: at})
			at += 2
		default:
			n := 1 + strings.IndexAny(text[at+1:], space+"()&|\"'")
			if n == 0 {
				n = len(text) - at
			}
			out = append(out, word{text: text[at : at+n], at: at})
			at += n
		}
	}
	return out, nil
}

const space = " \t\r\n"
