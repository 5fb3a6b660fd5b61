// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/net/nettest"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// lossy loses every 64th packet (1.6 %) of each direction and delivers every
// 16th one after its successor, be it in the next batch.
func lossy() *netstacktest.LinkOptions {
	type direction struct {
		packets int
		held    []byte // comes after the next packet
	}
	var mu sync.Mutex
	directions := make(map[tun.Device]*direction)
	return &netstacktest.LinkOptions{Mangle: func(to tun.Device, in [][]byte) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		d := directions[to]
		if d == nil {
			d = new(direction)
			directions[to] = d
		}
		out := make([][]byte, 0, len(in)+1)
		for _, b := range in {
			d.packets++
			held := d.held
			d.held = nil
			switch {
			case d.packets%64 == 0:
			case d.packets%16 == 0:
				d.held = bytes.Clone(b) // b is not ours after the call
			default:
				out = append(out, b)
			}
			if held != nil {
				out = append(out, held)
			}
		}
		return out
	}}
}

// TestConnLossyPath is TestConn over a path that loses and reorders as bad
// mobile networks do. A packet that is held back while nothing follows counts
// as lost until it is sent again.
func TestConnLossyPath(t *testing.T) {
	testutil.LeakCheck(t)
	for name, addr := range map[string]netip.Addr{"tcp4": netstacktest.B4, "tcp6": netstacktest.B6} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // both wait for timers most of the time
			a, b := netstacktest.Pair(t, nil, lossy())
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				c, d := connect(t, a.Net(), b.Net(), addr)
				return c, d, func() { c.Close(); d.Close() }, nil
			})
		})
	}
}
