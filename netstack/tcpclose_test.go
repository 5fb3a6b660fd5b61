// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// halves are what TCP connections have besides net.Conn.
type halves interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
	SetLinger(sec int) error
}

// TestTCPEnds checks what one end sees of how the other one goes.
func TestTCPEnds(t *testing.T) {
	testutil.LeakCheck(t)
	const some = 100_000
	for _, tt := range []struct {
		name  string
		leave func(t *testing.T, c halves) // what the far end does
		got   int                          // bytes read before the end
		read  error                        // that ends reading; nil is io.EOF
		write error                        // that ends writing, sooner or later; nil: works
	}{
		{"close write", func(t *testing.T, c halves) {
			c.Write(pattern(some))
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			_, err := c.Write([]byte{1})
			wantOpError(t, err, "write", syscall.EPIPE)
		}, some, nil, nil},
		{"close", func(_ *testing.T, c halves) {
			c.Write(pattern(some))
			c.Close()
		}, some, nil, syscall.EPIPE},
		{"reset", func(_ *testing.T, c halves) {
			c.SetLinger(0)
			c.Close()
		}, 0, syscall.ECONNRESET, syscall.ECONNRESET},
		{"linger restored", func(_ *testing.T, c halves) {
			c.SetLinger(0)
			c.SetLinger(-1)
			c.Write(pattern(some))
			c.Close()
		}, some, nil, syscall.EPIPE},
		{"close with unread data", func(t *testing.T, c halves) {
			// One byte of two is read, so the other has arrived.
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			c.Close()
		}, 0, syscall.ECONNRESET, syscall.ECONNRESET},
		{"close read", func(t *testing.T, c halves) {
			if err := c.CloseRead(); err != nil {
				t.Error(err)
			}
			c.Write(pattern(some))
			c.CloseWrite()
		}, some, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := netstacktest.Pair(t, nil, nil)
			near, far := connect(t, a.Net(), b.Net(), netstacktest.B4)
			defer near.Close()
			defer far.Close()
			if _, err := near.Write([]byte{1, 2}); err != nil {
				t.Fatal(err)
			}
			if tt.name != "close with unread data" {
				if _, err := io.ReadFull(far, make([]byte, 2)); err != nil {
					t.Fatal(err)
				}
			}
			tt.leave(t, far.(halves))
			got, err := io.ReadAll(near)
			if tt.read != nil {
				wantOpError(t, err, "read", tt.read)
			} else if err != nil {
				t.Errorf("read: %v", err)
			}
			if !bytes.Equal(got, pattern(some)[:tt.got]) {
				t.Errorf("%d bytes, want %d", len(got), tt.got)
			}
			if tt.write == nil {
				if _, err := near.Write([]byte{3}); err != nil {
					t.Errorf("write: %v", err)
				}
				return
			}
			testutil.Eventually(t, 5*time.Second, "the end of writing", func() error {
				if _, err = near.Write([]byte{3}); err == nil {
					return fmt.Errorf("still goes on")
				}
				return nil
			})
			wantOpError(t, err, "write", tt.write)
			// It stays broken, and for the same reason.
			_, err = near.Write([]byte{3})
			wantOpError(t, err, "write", tt.write)
			if tt.read != nil {
				_, err = near.Read(make([]byte, 1))
				wantOpError(t, err, "read", tt.read)
			}
		})
	}
}

// TestBothSeeReset checks that a reader and a writer that wait both learn of a
// reset, whichever is first: none may take it for the end of what was sent.
func TestBothSeeReset(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, &netstack.Options{SendBuffer: 64 << 10, ReceiveBuffer: 64 << 10}, nil)
	for range 50 {
		near, far := connect(t, a.Net(), b.Net(), netstacktest.B4)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := near.Read(make([]byte, 1))
			wantOpError(t, err, "read", syscall.ECONNRESET)
		})
		wg.Go(func() {
			_, err := near.Write(make([]byte, 1<<20))
			wantOpError(t, err, "write", syscall.ECONNRESET)
		})
		io.ReadFull(far, make([]byte, 1000))
		far.(halves).SetLinger(0)
		far.Close()
		wg.Wait()
		near.Close()
	}
}

// TestVanishedPeer cuts the path of an idle connection, which keepalive finds
// out.
func TestVanishedPeer(t *testing.T) {
	testutil.LeakCheck(t)
	var cut atomic.Bool
	a, b := netstacktest.Pair(t, &netstack.Options{KeepAlive: 20 * time.Millisecond}, &netstacktest.LinkOptions{
		Mangle: func(_ tun.Device, in [][]byte) [][]byte {
			if cut.Load() {
				return nil
			}
			return in
		},
	})
	near, far := connect(t, a.Net(), b.Net(), netstacktest.B4)
	defer near.Close()
	defer far.Close()
	netstack.SetKeepAliveInterval(near, 20*time.Millisecond)
	cut.Store(true)
	_, err := near.Read(make([]byte, 1))
	wantOpError(t, err, "read", syscall.ETIMEDOUT)
}

// TestChurn opens and closes connections, the accepting side closing first, so
// that it keeps them in TIME_WAIT, and checks that memory and ports come back.
func TestChurn(t *testing.T) {
	testutil.LeakCheck(t)
	n := 5000
	if testing.Short() || raceEnabled {
		n = 1000
	}
	a, b := netstacktest.Pair(t, nil, nil)
	setTransit(t, b, 0, func(r *netstack.TCPRequest) {
		if c, err := r.Accept(); err == nil {
			c.Write([]byte("bye"))
			c.Close()
		}
	})
	round := func(n int) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range n / 8 {
					c, err := a.Net().DialContext(t.Context(), "tcp", netip.MustParseAddrPort("203.0.113.5:80").String())
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := io.ReadAll(c); string(got) != "bye" || err != nil {
						t.Errorf("%q, %v", got, err)
					}
					c.Close()
				}
			})
		}
		wg.Wait()
	}
	round(500)
	before := heapInUse()
	round(n)
	grown := heapInUse() - before
	t.Logf("%d KiB after %d connections", grown>>10, n)
	// Those in TIME_WAIT are still there, see timeWait: 8 KiB each.
	if limit := int64(n) * 16 << 10; grown > limit {
		t.Errorf("%d KiB, more than %d, after %d connections", grown>>10, limit>>10, n)
	}
}
