// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
	"github.com/tunrouter/tunrouter/netstack/proxy"
)

// newClient returns a forward from loopback to an address in the tunnel.
func newClient(t *testing.T, n *netstack.Net, to string) *proxy.TCPForward {
	t.Helper()
	f, err := proxy.ListenTCPClient(n, &proxy.TCPForwardOptions{Listen: "127.0.0.1:0", Target: to})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// newServer returns a forward from a port in the tunnel to an address of this
// host.
func newServer(t *testing.T, n *netstack.Net, o proxy.TCPForwardOptions) *proxy.TCPForward {
	t.Helper()
	o.Listen = ":0"
	f, err := proxy.ListenTCPServer(n, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// hostTarget serves a port of this host.
func hostTarget(t *testing.T, handle func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serving(t, l, handle)
}

// tryTunnel connects from b to a port of a.
func tryTunnel(t *testing.T, b *netstack.Net, f *proxy.TCPForward) (net.Conn, error) {
	t.Helper()
	_, port, _ := net.SplitHostPort(f.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	c, err := b.DialContext(ctx, "tcp", net.JoinHostPort(netstacktest.A4.String(), port))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(testTimeout))
	return c, nil
}

// dialTunnel is tryTunnel where it must succeed.
func dialTunnel(t *testing.T, b *netstack.Net, f *proxy.TCPForward) net.Conn {
	t.Helper()
	c, err := tryTunnel(t, b, f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantReset checks that a connection to a port of the host, or the attempt to
// make it, was reset: which of the two depends on who is faster.
func wantReset(t *testing.T, c net.Conn, err error) {
	t.Helper()
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestTCPClient(t *testing.T) {
	a, b := pairOf(t)
	_, port, _ := net.SplitHostPort(target(t, b, answerWhole))
	f := newClient(t, a, "b.example:"+port) // only resolved in the tunnel; refused on IPv6
	running(t, f)
	if err := askWhole(dialPort(t, f.Addr())); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if st := f.Stats(); st.BytesOut != requestSize+32 || st.BytesIn != responseSize+32 || st.Resets != 0 {
		t.Errorf("got %+v", st)
	}
}

// TestTCPServer checks that clients are served, be they faster than Run.
func TestTCPServer(t *testing.T) {
	for name, early := range map[string]bool{"before Run": true, "after": false} {
		t.Run(name, func(t *testing.T) {
			testutil.LeakCheck(t)
			a, b := netstacktest.Pair(t, nil, nil)
			f := newServer(t, a.Net(), proxy.TCPForwardOptions{Target: hostTarget(t, answerWhole)})
			if !early {
				running(t, f)
			}
			done := make(chan error, 1)
			go func() {
				c, err := tryTunnel(t, b.Net(), f)
				if err == nil {
					err = askWhole(c.(stream))
				}
				done <- err
			}()
			if early {
				testutil.Eventually(t, testTimeout, "the request", func() error {
					if s := a.Stats().Ports; s.Pending != 1 {
						return fmt.Errorf("%+v", s)
					}
					return nil
				})
				running(t, f)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			f.Close()
			if st := f.Stats(); st.BytesIn != requestSize+32 || st.BytesOut != responseSize+32 || st.Resets != 0 || st.Accepted != 1 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// TestTCPServerDialErrors checks that clients of a target that cannot be reached
// are refused, for whatever reason, and that the reasons are counted.
func TestTCPServerDialErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want proxy.DialFailures
	}{
		{syscall.ECONNREFUSED, proxy.DialFailures{Refused: 1}},
		{context.DeadlineExceeded, proxy.DialFailures{Timeout: 1}},
		{syscall.ETIMEDOUT, proxy.DialFailures{Timeout: 1}},
		{syscall.EHOSTUNREACH, proxy.DialFailures{Unreachable: 1}},
		{syscall.ENETUNREACH, proxy.DialFailures{Unreachable: 1}},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, proxy.DialFailures{NotFound: 1}},
		{syscall.EMFILE, proxy.DialFailures{Other: 1}},
	} {
		t.Run(tt.err.Error(), func(t *testing.T) {
			a, b := pairOf(t)
			f := newServer(t, a, proxy.TCPForwardOptions{Target: "127.0.0.1:1"})
			f.SetDial(func(context.Context, string, string) (net.Conn, error) { return nil, tt.err })
			running(t, f)
			if _, err := tryTunnel(t, b, f); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("got %v, want it refused", err)
			}
			f.Close()
			if st := f.Stats(); st.DialFailures != tt.want || st.Accepted != 1 || st.Active != 0 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// TestTCPServerDialTimeout checks that a target has a limited time to answer.
func TestTCPServerDialTimeout(t *testing.T) {
	a, b := pairOf(t)
	f := newServer(t, a, proxy.TCPForwardOptions{Target: "127.0.0.1:1"})
	f.SetDialTimeout(20 * time.Millisecond)
	f.SetDial(func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	running(t, f)
	if _, err := tryTunnel(t, b, f); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want it refused", err)
	}
	if st := f.Stats(); st.DialFailures.Timeout != 1 {
		t.Errorf("got %+v", st)
	}
}

// TestTCPServerClose closes a forward while it dials and before it runs, and
// checks that nobody is told of a connection.
func TestTCPServerClose(t *testing.T) {
	for name, run := range map[string]bool{"dialing": true, "not running": false} {
		t.Run(name, func(t *testing.T) {
			testutil.LeakCheck(t)
			da, db := netstacktest.Pair(t, nil, nil)
			f := newServer(t, da.Net(), proxy.TCPForwardOptions{Target: "127.0.0.1:1"})
			f.SetDial(func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			if run {
				running(t, f)
			}
			const n = 20
			results := make(chan error, n)
			for range n {
				go func() {
					_, err := tryTunnel(t, db.Net(), f)
					results <- err
				}()
			}
			testutil.Eventually(t, testTimeout, "requests", func() error {
				if s := da.Stats().Ports; s.Pending != n {
					return fmt.Errorf("%+v", s)
				}
				return nil
			})
			f.Close()
			if s := da.Stats().Ports; s.Pending != 0 {
				t.Errorf("after Close: %+v", s)
			}
			for range n {
				if err := <-results; !errors.Is(err, syscall.ECONNREFUSED) { // when they ask again
					t.Errorf("got %v, want it refused", err)
				}
			}
			if st := f.Stats(); st.Active != 0 || st.DialFailures.Sum() != 0 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// TestTCPRefused checks that a client of a target that is not there is reset,
// not told that it had nothing to say; one in the tunnel does not even connect.
func TestTCPRefused(t *testing.T) {
	a, b := pairOf(t)
	client := newClient(t, a, net.JoinHostPort(netstacktest.B4.String(), "7"))
	running(t, client)
	c, err := net.Dial("tcp", client.Addr().String())
	if err == nil {
		defer c.Close()
	}
	wantReset(t, c, err)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	server := newServer(t, a, proxy.TCPForwardOptions{Target: free})
	running(t, server)
	if _, err = tryTunnel(t, b, server); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want it refused", err)
	}
	for _, f := range []*proxy.TCPForward{client, server} {
		f.Close()
		if st := f.Stats(); st.DialFailures.Refused != 1 || st.DialFailures.Sum() != 1 {
			t.Errorf("got %+v", st)
		}
	}
}

// TestTCPServerLimit checks that hosts in the tunnel have a limit each.
func TestTCPServerLimit(t *testing.T) {
	a, b := pairOf(t)
	f := newServer(t, a, proxy.TCPForwardOptions{Target: hostTarget(t, echo), Limits: proxy.Limits{PerClient: 1}})
	running(t, f)
	first := dialTunnel(t, b, f)
	if _, err := first.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := tryTunnel(t, b, f); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want it refused", err)
	}
	if st := f.Stats(); st.Refused != 1 || st.Active != 1 || st.Accepted != 1 {
		t.Errorf("got %+v", st)
	}
	first.Close()
	testutil.Eventually(t, testTimeout, "the place given back", func() error {
		if st := f.Stats(); st.Active != 0 {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	dialTunnel(t, b, f)
}

// TestTCPServerDeviceClosed checks that Run ends when there is nothing left to
// listen on.
func TestTCPServerDeviceClosed(t *testing.T) {
	d, err := netstack.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newServer(t, d.Net(), proxy.TCPForwardOptions{Target: "127.0.0.1:1"})
	done := make(chan error, 1)
	go func() { done <- f.Run(t.Context()) }()
	d.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestTCPOptions(t *testing.T) {
	a, _ := pairOf(t)
	for _, to := range []string{"", "b.example", ":80", "b.example:", "fd99::2:80"} {
		o := &proxy.TCPForwardOptions{Listen: "127.0.0.1:0", Target: to}
		if f, err := proxy.ListenTCPClient(a, o); err == nil {
			f.Close()
			t.Errorf("client: target %q is fine", to)
		}
		o.Listen = ":0"
		if f, err := proxy.ListenTCPServer(a, o); err == nil {
			f.Close()
			t.Errorf("server: target %q is fine", to)
		}
	}
	if _, err := proxy.ListenTCPServer(a, &proxy.TCPForwardOptions{Listen: "192.0.2.1:80", Target: "127.0.0.1:80"}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("an address that the device does not have: got %v", err)
	}
}

// TestRelaySilence checks that a half-closed relay ends when nothing moves any
// more, and not before.
func TestRelaySilence(t *testing.T) {
	a, b := pairOf(t)
	const silence = 300 * time.Millisecond // a busy machine may pause for less
	to := target(t, b, func(c net.Conn) {
		for range 40 { // 4 times as long as silence, with some pauses
			time.Sleep(silence / 10)
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
		}
		io.Copy(io.Discard, c)
		io.ReadFull(c, make([]byte, 1))
		<-t.Context().Done() // neither says more nor ends
	})
	f := newClient(t, a, to)
	f.SetSilence(silence)
	running(t, f)
	open := dialPort(t, f.Addr()) // never half-closed: lives on
	half := dialPort(t, f.Addr())
	half.CloseWrite()
	got, err := io.ReadAll(half)
	if len(got) != 40 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if got, err := io.ReadFull(open, make([]byte, 40)); err != nil {
		t.Errorf("got %d bytes, %v", got, err)
	}
	if st := f.Stats(); st.Idle != 1 || st.Resets != 0 || st.BytesIn != 80 {
		t.Errorf("got %+v", st) // bytes are counted while they move
	}
}

// failingListener fails a number of times, then accepts.
type failingListener struct {
	net.Listener
	mu   sync.Mutex
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		l.mu.Unlock()
		return nil, err
	}
	l.mu.Unlock()
	return l.Listener.Accept()
}

// TestAcceptErrors checks that a listener survives errors, and says so once.
func TestAcceptErrors(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, echo)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &failingListener{Listener: inner, errs: []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, errors.New("what")}}
	var log bytes.Buffer
	f := proxy.NewForwardFrom(l, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return a.DialContext(ctx, network, to)
	}, slog.New(slog.NewTextHandler(&log, nil)))
	running(t, f)
	c := dialPort(t, f.Addr())
	io.WriteString(c, "hello")
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	f.Close()
	if n := f.Stats().AcceptErrors; n != 4 {
		t.Errorf("counted %d errors", n)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("logged %d lines:\n%s", n, log.String())
	}
}

// TestCloseInBackoff checks that Close does not wait for the pause to end.
func TestCloseInBackoff(t *testing.T) {
	pairOf(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &failingListener{Listener: inner}
	for range 1000 {
		l.errs = append(l.errs, syscall.EMFILE)
	}
	f := proxy.NewForwardFrom(l, nil, nil)
	running(t, f)
	testutil.Eventually(t, 30*time.Second, "errors of accept", func() error {
		if n := f.Stats().AcceptErrors; n < 3 {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
}
