// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

// hub returns the file of a hub with n peers of two ranges each.
func hub(n int) string {
	var b strings.Builder
	b.WriteString("[Interface]\nPrivateKey = " + testPrivate + "\nListenPort = 51820\nAddress = 10.0.0.1/8\n")
	for i := range n {
		key := config.Key(sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))
		fmt.Fprintf(&b, "\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.%d.%d.%d/32, fd00::%x/128\n", key, i>>16&255, i>>8&255, i&255, i)
	}
	return b.String()
}

// BenchmarkParse models the start and the reload of a hub.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1, 1000, 50000} {
		text := hub(n)
		b.Run(fmt.Sprintf("%d-peers", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if c := mustParse(b, text); len(c.Peers) != n {
					b.Fatalf("%d peers, want %d", len(c.Peers), n)
				}
			}
		})
	}
}

// BenchmarkDiff models a reload that changes one peer of many.
func BenchmarkDiff(b *testing.B) {
	before, after := mustParse(b, hub(50000)), mustParse(b, hub(50000))
	after.Peers[25000].PersistentKeepalive = 25
	b.ReportAllocs()
	for b.Loop() {
		if c := config.Diff(before, after); len(c.Changed) != 1 {
			b.Fatalf("%d changes, want 1", len(c.Changed))
		}
	}
}
