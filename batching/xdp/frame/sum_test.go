// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/tailscale/wireguard-go/tun"
)

// simpleSum is the sum of RFC 1071 section 4.1, 16 bits at a time.
func simpleSum(b []byte, initial uint16) uint16 {
	sum := uint32(initial)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
		sum = sum>>16 + sum&0xffff
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return fold(sum)
}

// The sum that is used here, which has assembler of its own for some processors,
// is the simple one at every length and alignment.
func FuzzSum(f *testing.F) {
	f.Add([]byte{}, uint16(0), uint8(0))
	f.Add(bytes.Repeat([]byte{0xff}, 1500), uint16(0xffff), uint8(1))
	f.Add(bytes.Repeat([]byte{0x80, 1, 0}, 70), uint16(1), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, initial uint16, shift uint8) {
		for n := len(b); n >= max(0, len(b)-70); n-- {
			moved := append(make([]byte, shift%64), b[:n]...)[shift%64:]
			if got, want := tun.Checksum(moved, initial), simpleSum(b[:n], initial); got != want {
				t.Fatalf("%d bytes %x: got %#04x, want %#04x", n, b[:n], got, want)
			}
		}
	})
}
