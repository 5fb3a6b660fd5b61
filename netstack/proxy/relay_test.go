// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// busyConn is the tunnel's side of a relay: always something to read, always
// room to write, until it is closed.
type busyConn struct {
	net.Conn // nil

	mu               sync.Mutex
	ended            bool // by CloseWrite
	lingerZero, shut bool
}

func (c *busyConn) do(n int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return 0, net.ErrClosed
	}
	return n, nil
}

func (c *busyConn) Read(b []byte) (int, error)  { return c.do(len(b)) }
func (c *busyConn) Write(b []byte) (int, error) { return c.do(len(b)) }

func (c *busyConn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return nil
}

func (c *busyConn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lingerZero = sec == 0
	return nil
}

func (c *busyConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	return nil
}

// tcpPair returns both ends of a connection on loopback.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// TestRelayResetNotEnd resets the host's side of relays that move bytes both
// ways. The kernel tells one of the directions only; the other must not take it
// for a clean end.
func TestRelayResetNotEnd(t *testing.T) {
	testutil.LeakCheck(t)
	for round := range 200 {
		client, host := tcpPair(t)
		tun := &busyConn{}
		r := relay{host: host, tun: tun, count: &counters{}, silence: time.Hour}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.run()
		}()
		io.CopyN(client, tun, 1<<16)
		io.CopyN(io.Discard, client, 1<<16)
		client.SetLinger(0)
		client.Close()
		<-done
		if tun.ended {
			t.Fatalf("round %d: passed on as a clean end", round)
		}
		if !tun.lingerZero || !tun.shut {
			t.Fatalf("round %d: the tunnel's side is not reset", round)
		}
		if n := r.count.resets.Load(); n != 1 {
			t.Fatalf("round %d: counted %d resets", round, n)
		}
	}
}

// fastConn is a tunnel's side that moves bytes itself, as those of package
// netstack do, and notes what it is given.
type fastConn struct {
	net.Conn
	from io.Reader
	to   io.Writer
}

func (c *fastConn) ReadFrom(r io.Reader) (int64, error) {
	c.from = r
	return 0, nil
}

func (c *fastConn) WriteTo(w io.Writer) (int64, error) {
	c.to = w
	return 0, nil
}

// TestRelayFastPath checks that a relay leaves moving to the tunnel's side, and
// lets it wait for the socket on the other.
func TestRelayFastPath(t *testing.T) {
	_, host := tcpPair(t)
	for name, c := range map[string]net.Conn{"socket": host, "HTTP client": &httpClient{TCPConn: host}} {
		tun := &fastConn{}
		r := relay{host: c, tun: tun, count: &counters{}}
		if err := r.toTunnel(); err != nil {
			t.Fatal(err)
		}
		if err := r.toHost(); err != nil {
			t.Fatal(err)
		}
		if _, ok := tun.from.(syscall.Conn); !ok {
			t.Errorf("%s: ReadFrom got %T, which has no descriptor", name, tun.from)
		}
		if tun.to == nil {
			t.Errorf("%s: WriteTo was not called", name)
		}
	}
}

// TestTunnelMovesItself checks that connections of package netstack take part.
func TestTunnelMovesItself(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	l, err := b.Net().Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := netip.AddrPortFrom(netstacktest.B4, addrPortOf(l.Addr()).Port())
	dialed, err := a.Net().DialContext(t.Context(), "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for _, c := range []net.Conn{dialed, accepted} {
		if _, ok := c.(io.ReaderFrom); !ok {
			t.Errorf("%T is no io.ReaderFrom", c)
		}
		if _, ok := c.(io.WriterTo); !ok {
			t.Errorf("%T is no io.WriterTo", c)
		}
	}
}
