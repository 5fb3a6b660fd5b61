// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxQuoted is how much of a wrong value a message repeats.
const maxQuoted = 60

// show quotes a value for a message. It shows nothing of a value that contains
// what may be a key: 40 base64 digits in a row.
func show(value string) string {
	run := 0
	for _, r := range value {
		if isLetter(r) || '0' <= r && r <= '9' || r == '+' || r == '/' {
			run++
		} else {
			run = 0
		}
		if run == 40 {
			return hidden
		}
	}
	if len(value) > maxQuoted {
		value = value[:maxQuoted] + "..."
	}
	return strconv.Quote(value)
}

// number reads a decimal number from low to high; what and hint describe it.
func (e *entry) number(low, high uint64, what, hint string) (n uint64, ok bool) {
	n, err := strconv.ParseUint(e.value, 10, 64)
	if err != nil || n < low || n > high {
		e.wrong(hint, "%s is not %s", show(e.value), what)
		return 0, false
	}
	return n, true
}

// key reads a key. No message shows one: what should be a public key may be a
// private one in the wrong place.
func (e *entry) key() (Key, bool) {
	const hint = "write the 44 characters that wg prints, the last one is ="
	if len(e.value) != keyTextLen {
		e.wrong(hint, "%d characters, a key has %d", len(e.value), keyTextLen)
		return Key{}, false
	}
	k, err := ParseKey(e.value)
	if err != nil {
		e.wrong(hint, "not a key in base64")
		return Key{}, false
	}
	return k, true
}

// choice reads one of words, without regard to case, and returns its index.
func (e *entry) choice(words ...string) (int, bool) {
	i := slices.IndexFunc(words, func(w string) bool { return sameName(w, e.value) })
	if i >= 0 {
		return i, true
	}
	last := len(words) - 1
	hint := "write " + strings.Join(words[:last], ", ") + " or " + words[last]
	if near := nearest(e.value, words); near != "" {
		hint += ", perhaps " + near
	}
	e.wrong(hint, "unknown value %s", show(e.value))
	return 0, false
}

// list splits a value at commas and white space, as wg-quick does.
func (e *entry) list() []string {
	return strings.FieldsFunc(e.value, func(r rune) bool { return r == ',' || isSpace(r) })
}

// parseRange reads ADDRESS or ADDRESS/BITS and keeps the host bits. Without BITS it is
// the one address.
func parseRange(text string) (netip.Prefix, bool) {
	host, mask, masked := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	if !masked {
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	bits, err := strconv.ParseUint(mask, 10, 16)
	if err != nil || bits > uint64(addr.BitLen()) {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, int(bits)), true
}

// parseSize reads a number of bytes, or of KiB or MiB with the suffix K or M.
func parseSize(text string) (uint64, bool) {
	unit := uint64(1)
	if text != "" {
		switch text[len(text)-1] {
		case 'k', 'K':
			unit = 1 << 10
		case 'm', 'M':
			unit = 1 << 20
		}
	}
	if unit > 1 {
		text = text[:len(text)-1]
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return n * unit, err == nil
}

// formatSize is the reverse of [parseSize], with the largest unit that fits.
func formatSize[T int | int64](n T) string {
	switch {
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dM", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%dK", n>>10)
	}
	return strconv.FormatInt(int64(n), 10)
}
