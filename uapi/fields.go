// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
)

// The parsers of single values. None of their errors contains the value, which
// may be a secret that went into the wrong line.

var (
	errKey      = errors.New("want 64 hex digits")
	errTrue     = errors.New(`the only value is "true"`)
	errEndpoint = errors.New("want ADDRESS:PORT or [ADDRESS]:PORT with a literal address")
	errPrefix   = errors.New("want ADDRESS/BITS")
	errVersion  = errors.New("the only version is 1")
	errNumber   = errors.New("want a decimal number in range")
)

func parseKey(value []byte) (Key, error) {
	var k Key
	if len(value) != hex.EncodedLen(len(k)) {
		return Key{}, errKey
	}
	if _, err := hex.Decode(k[:], value); err != nil {
		return Key{}, errKey
	}
	return k, nil
}

// parseUint parses a decimal number of the given width.
func parseUint(value []byte, bits int) (uint64, error) {
	n, err := strconv.ParseUint(string(value), 10, bits)
	if err != nil {
		return 0, errNumber
	}
	return n, nil
}

func parseTrue(value []byte) error {
	if string(value) != "true" {
		return errTrue
	}
	return nil
}

// parseEndpoint parses an address and port; IPv6 may have a zone. A 4in6
// address becomes the IPv4 address that it stands for.
func parseEndpoint(value []byte) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(string(value))
	if err != nil {
		return netip.AddrPort{}, errEndpoint
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

func parsePrefix(value []byte) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(string(value))
	if err != nil {
		return netip.Prefix{}, errPrefix
	}
	return p.Masked(), nil
}

// cutLine splits a line at its first "=".
func cutLine(line []byte) (key, value []byte, ok bool) { return bytes.Cut(line, []byte{'='}) }

// printable returns an unknown key for an error message, or "?" when it does
// not look like a name: it may then be a secret, such as base64 on a line of its
// own.
func printable(key []byte) string {
	if len(key) == 0 || len(key) > 40 {
		return "?"
	}
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return "?"
		}
	}
	return string(key)
}

func appendKey(b []byte, name string, k *Key) []byte {
	b = append(append(b, name...), '=')
	return append(hex.AppendEncode(b, k[:]), '\n')
}

func appendUint(b []byte, name string, n uint64) []byte {
	b = append(append(b, name...), '=')
	return append(strconv.AppendUint(b, n, 10), '\n')
}

func appendEndpoint(b []byte, ap netip.AddrPort) []byte {
	b = append(b, "endpoint="...)
	return append(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).AppendTo(b), '\n')
}
