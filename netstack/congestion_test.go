// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"net"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// TestCongestionControl checks what both ends of a connection use, on a near path
// and on one that is not.
func TestCongestionControl(t *testing.T) {
	testutil.LeakCheck(t)
	slow := func(_ tun.Device, batch [][]byte) [][]byte {
		time.Sleep(15 * time.Millisecond)
		return batch
	}
	for _, tt := range []struct {
		option string
		mangle func(tun.Device, [][]byte) [][]byte
		want   string
	}{
		{"", nil, "reno"},
		{"auto", slow, "cubic"},
		{"cubic", nil, "cubic"},
		{"reno", slow, "reno"},
	} {
		t.Run(tt.option+" "+tt.want, func(t *testing.T) {
			a, b := netstacktest.Pair(t, &netstack.Options{CongestionControl: tt.option}, &netstacktest.LinkOptions{Mangle: tt.mangle})
			l, err := b.Net().Listen("tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			// A busy machine may make the near path look far, but not for long.
			for try := 1; ; try++ {
				dialed, accepted := congestionOfNext(t, a, l)
				if dialed == tt.want && accepted == tt.want {
					return
				}
				if try == 100 || tt.mangle != nil {
					t.Fatalf("dialed: %s, accepted: %s, want %s", dialed, accepted, tt.want)
				}
			}
		})
	}
}

// congestionOfNext connects to l from a, and returns what the two ends use.
func congestionOfNext(t *testing.T, a *netstack.Device, l net.Listener) (dialed, accepted string) {
	t.Helper()
	c, err := a.Net().DialContext(t.Context(), "tcp", net.JoinHostPort(netstacktest.B4.String(), "80"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return netstack.CongestionOf(c), netstack.CongestionOf(s)
}
