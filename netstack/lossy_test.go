// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// TestLossyEnd sends over a path that loses one packet in twenty, and wants the end
// of what was sent to arrive too, with each congestion control.
func TestLossyEnd(t *testing.T) {
	testutil.LeakCheck(t)
	data := bytes.Repeat([]byte("tunrouter"), 7000)
	for _, cc := range []string{"cubic", "reno"} {
		var all sync.WaitGroup
		for i := range 20 {
			var mu sync.Mutex
			dice := rand.New(rand.NewPCG(uint64(i), 7))
			lose := func(_ tun.Device, batch [][]byte) [][]byte {
				mu.Lock()
				defer mu.Unlock()
				return slices.DeleteFunc(batch, func([]byte) bool { return dice.Float64() < 0.05 })
			}
			a, b := netstacktest.Pair(t, &netstack.Options{CongestionControl: cc}, &netstacktest.LinkOptions{Mangle: lose})
			all.Go(func() {
				if err := sendAll(t, a, b, data); err != nil {
					t.Errorf("%s, %d: %v", cc, i, err)
				}
			})
		}
		all.Wait()
	}
}

// sendAll sends data from b to a, which reads to the end.
func sendAll(t *testing.T, a, b *netstack.Device, data []byte) error {
	l, err := b.Net().Listen("tcp", ":80")
	if err != nil {
		return err
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Write(data)
			c.Close()
		}
		sent <- err
	}()
	c, err := a.Net().DialContext(t.Context(), "tcp", net.JoinHostPort(netstacktest.B4.String(), "80"))
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, data) {
		return fmt.Errorf("%d bytes of %d, %v", len(got), len(data), err)
	}
	return <-sent
}
