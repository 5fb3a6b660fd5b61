// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// private returns a private key whose bytes count up from first.
func private(first byte) (k disco.Key) {
	for i := range k {
		k[i] = first + byte(i)
	}
	return k
}

func identity(first byte) *disco.Identity { return disco.NewIdentity(private(first)) }

func pair(tb testing.TB, d disco.Domain, own *disco.Identity, peer disco.Key) *disco.Pair {
	tb.Helper()
	p, err := own.Pair(d, peer)
	if err != nil {
		tb.Fatalf("Pair: %v", err)
	}
	return p
}

// ends returns both sides of a pair.
func ends(tb testing.TB, d disco.Domain) (a, b *disco.Pair) {
	tb.Helper()
	ia, ib := identity(0x11), identity(0x77)
	return pair(tb, d, ia, ib.Public()), pair(tb, d, ib, ia.Public())
}

// unhex decodes hex digits, which may be in groups.
func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatalf("%q: %v", s, err)
	}
	return b
}

func zeros(n int) string { return strings.Repeat("00", n) }

func address(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// addresses returns n different ones, of both families.
func addresses(n int) []netip.AddrPort {
	as := make([]netip.AddrPort, n)
	for i := range as {
		ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		if i%2 != 0 {
			ip = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)})
		}
		as[i] = netip.AddrPortFrom(ip, uint16(1000+i))
	}
	return as
}

// A message is what all four types of messages have in common.
type message interface {
	AppendBody(b []byte) []byte
	Decode(body []byte) error
}

// appendBody checks that AppendBody extends what is there.
func appendBody(tb testing.TB, m message) []byte {
	tb.Helper()
	prefix := []byte("prefix")
	b := m.AppendBody(bytes.Clone(prefix))
	if !bytes.HasPrefix(b, prefix) {
		tb.Fatalf("%T.AppendBody did not keep what the slice had: % x", m, b)
	}
	return b[len(prefix):]
}
