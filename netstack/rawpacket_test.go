// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/netstack"
)

func TestRawPool(t *testing.T) {
	var p netstack.RawPool
	for _, tt := range []struct{ n, capacity int }{
		{0, 2048}, {1, 2048}, {2048, 2048}, {2049, 16384}, {16384, 16384}, {16385, 65535}, {65535, 65535},
	} {
		r := p.Get(tt.n)
		if n, c := netstack.RawLen(r); n != tt.n || c != tt.capacity {
			t.Errorf("%d bytes: length %d, capacity %d, want %d", tt.n, n, c, tt.capacity)
		}
		if p.Out() != 1 {
			t.Errorf("%d out, want 1", p.Out())
		}
		netstack.PutRaw(r)
		if p.Out() != 0 {
			t.Errorf("%d out after put", p.Out())
		}
	}
	panics := func(what, want string, f func()) {
		t.Helper()
		defer func() {
			if got, _ := recover().(string); !strings.Contains(got, want) {
				t.Errorf("%s: panic %q, want %q", what, got, want)
			}
		}()
		f()
	}
	panics("too long", "65536 bytes", func() { p.Get(65536) })
	r := p.Get(1)
	netstack.PutRaw(r)
	panics("put twice", "put twice", func() { netstack.PutRaw(r) })
	r = p.Get(1)
	netstack.SpoilRaw(r)
	panics("another buffer", "with 10 bytes instead of 2048", func() { netstack.PutRaw(r) })
}
