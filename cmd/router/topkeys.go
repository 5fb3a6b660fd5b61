// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import "bytes"

// Keys that are more than their letter.
const (
	keyUp = iota + 256
	keyDown
	keyPageUp
	keyPageDown
	keyHome
	keyEnd
)

// sequences are what terminals send for these keys, in both cursor key modes.
func sequences() map[string]int {
	return map[string]int{
		"\x1b[A": keyUp, "\x1bOA": keyUp, "\x1b[B": keyDown, "\x1bOB": keyDown,
		"\x1b[5~": keyPageUp, "\x1b[6~": keyPageDown,
		"\x1b[H": keyHome, "\x1bOH": keyHome, "\x1b[1~": keyHome,
		"\x1b[F": keyEnd, "\x1bOF": keyEnd, "\x1b[4~": keyEnd,
	}
}

// splitKeys takes the keys off what was typed. The rest is the beginning of a sequence.
func splitKeys(typed []byte) (keys []int, rest []byte) {
	for len(typed) > 0 {
		if typed[0] != 0x1b {
			keys = append(keys, int(typed[0]))
			typed = typed[1:]
			continue
		}
		n := sequenceLen(typed)
		if n == 0 {
			return keys, typed
		}
		if k, ok := sequences()[string(typed[:n])]; ok {
			keys = append(keys, k)
		}
		typed = typed[n:]
	}
	return keys, nil
}

// sequenceLen is the length of the sequence that b begins with; 0 if its end is missing.
// A sequence is ESC [, parameters and a letter or ~ (ECMA-48, 5.4), ESC O and a letter, or
// ESC with any other character.
func sequenceLen(b []byte) int {
	switch {
	case len(b) < 2:
		return 0
	case b[1] == '[':
		end := bytes.IndexFunc(b[2:], func(r rune) bool { return r >= 0x40 && r <= 0x7e })
		if end < 0 {
			if len(b) > 32 { // no key is that long
				return len(b)
			}
			return 0
		}
		return 2 + end + 1
	case b[1] == 'O' && len(b) < 3:
		return 0
	case b[1] == 'O':
		return 3
	}
	return 2
}
