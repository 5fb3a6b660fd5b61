// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
	"github.com/tunrouter/tunrouter/netstack/proxy"
)

// testTimeout bounds what a test waits for; it passes only when it fails.
const testTimeout = 30 * time.Second

var (
	_ runner = (*proxy.SOCKS5)(nil)
	_ runner = (*proxy.HTTP)(nil)
	_ runner = (*proxy.TCPForward)(nil)
	_ runner = (*proxy.STDIO)(nil)
)

// runner is a service.
type runner interface {
	Run(ctx context.Context) error
	Close() error
	Stats() proxy.Stats
}

// pairOf returns two hosts of a tunnel: the proxy is on a, its targets on b. The
// test fails if it leaves something behind.
func pairOf(t *testing.T) (a, b *netstack.Net) {
	t.Helper()
	testutil.LeakCheck(t)
	da, db := netstacktest.Pair(t, &netstack.Options{LookupHost: lookup}, nil)
	return da.Net(), db.Net()
}

// lookup knows one name.
func lookup(_ context.Context, host string) ([]netip.Addr, error) {
	if host == "b.example" {
		return []netip.Addr{netstacktest.B6, netstacktest.B4}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// running runs s until the end of the test.
func running(t *testing.T, s runner) {
	t.Helper()
	done := make(chan error, 1)
	ctx := context.WithoutCancel(t.Context()) // that ends before the cleanups
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := s.Stats().Active; n != 0 {
			t.Errorf("%d flows are active after Close", n)
		}
	})
}

// serving passes the connections of l to handle until the end of the test.
func serving(t *testing.T, l net.Listener, handle func(c net.Conn)) string {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := make(map[net.Conn]bool)
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				handle(c)
				mu.Lock()
				defer mu.Unlock()
				delete(open, c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// target serves a port of b and returns its address.
func target(t *testing.T, b *netstack.Net, handle func(c net.Conn)) string {
	t.Helper()
	l, err := b.Listen("tcp", net.JoinHostPort(netstacktest.B4.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	return serving(t, l, handle)
}

// echo answers with what it gets and ends when that does.
func echo(c net.Conn) {
	if _, err := io.Copy(c, struct{ io.Reader }{c}); err == nil {
		c.(interface{ CloseWrite() error }).CloseWrite()
	}
}

// dialPort connects to a service on this host. The connection ends with the test.
func dialPort(t *testing.T, addr net.Addr) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(testTimeout))
	return c.(*net.TCPConn)
}

// A stream is a connection as the transfers below use it.
type stream interface {
	io.ReadWriter
	CloseWrite() error
}

// sendStream sends n bytes that end with their checksum, and the end.
func sendStream(c stream, seed uint64, n int) error {
	b := make([]byte, n, n+sha256.Size)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	rand.NewChaCha8(key).Read(b)
	sum := sha256.Sum256(b)
	if _, err := c.Write(append(b, sum[:]...)); err != nil {
		return err
	}
	return c.CloseWrite()
}

// checkStream reads until the end and checks that sendStream's bytes came.
func checkStream(c stream, n int) error {
	b, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if len(b) != n+sha256.Size {
		return fmt.Errorf("got %d bytes, want %d", len(b), n+sha256.Size)
	}
	if sum := sha256.Sum256(b[:n]); [32]byte(b[n:]) != sum {
		return errors.New("the bytes have another checksum")
	}
	return nil
}

// Sizes of the two directions of a transfer.
const (
	requestSize  = 1<<20 + 7
	responseSize = 3<<20 + 1
)

// answerWhole is a target that answers after it has got everything: with
// another stream, which it can only send if the end of one direction does not
// end the other.
func answerWhole(c net.Conn) {
	s := c.(stream)
	if err := checkStream(s, requestSize); err != nil {
		c.Write([]byte(err.Error()))
		return
	}
	sendStream(s, 2, responseSize) // the client notices
}

// askWhole is the client of answerWhole.
func askWhole(c stream) error {
	if err := sendStream(c, 1, requestSize); err != nil {
		return err
	}
	return checkStream(c, responseSize)
}
