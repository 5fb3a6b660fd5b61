// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/net/nettest"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// connect returns both ends of a TCP connection from a to addr of b.
func connect(tb testing.TB, a, b *netstack.Net, addr netip.Addr) (dialed, accepted net.Conn) {
	tb.Helper()
	l, err := b.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	type result struct {
		c   net.Conn
		err error
	}
	got := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		got <- result{c, err}
	}()
	dialed, err = a.DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	r := <-got
	if r.err != nil {
		tb.Fatal(r.err)
	}
	return dialed, r.c
}

// TestConn holds connections to the contract of net.Conn.
func TestConn(t *testing.T) {
	testutil.LeakCheck(t)
	for name, addr := range map[string]netip.Addr{"tcp4": netstacktest.B4, "tcp6": netstacktest.B6} {
		t.Run(name, func(t *testing.T) {
			a, b := netstacktest.Pair(t, nil, nil)
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				c, d := connect(t, a.Net(), b.Net(), addr)
				return c, d, func() { c.Close(); d.Close() }, nil
			})
		})
	}
}

// worse loses one packet of 200, doubles one of 100, and swaps neighbours in
// one batch of 10.
func worse() *netstacktest.LinkOptions {
	var packets, batches atomic.Uint64
	return &netstacktest.LinkOptions{Mangle: func(_ tun.Device, in [][]byte) [][]byte {
		out := make([][]byte, 0, len(in)+2)
		for _, b := range in {
			switch n := packets.Add(1); {
			case n%200 == 77:
				continue
			case n%100 == 50:
				out = append(out, b)
			}
			out = append(out, b)
		}
		if n := len(out); n > 1 && batches.Add(1)%10 == 0 {
			out[n-1], out[n-2] = out[n-2], out[n-1]
		}
		return out
	}}
}

// TestConnWorsePath is TestConn over a path that loses, doubles and reorders.
func TestConnWorsePath(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, worse())
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		c, d := connect(t, a.Net(), b.Net(), netstacktest.B4)
		return c, d, func() { c.Close(); d.Close() }, nil
	})
}

// TestTransfer sends several MiB both ways at once and compares checksums.
func TestTransfer(t *testing.T) {
	testutil.LeakCheck(t)
	for _, tt := range []struct {
		name string
		to   netip.Addr
		o    netstack.Options
		path *netstacktest.LinkOptions
	}{
		{"v4", netstacktest.B4, netstack.Options{}, nil},
		{"v6", netstacktest.B6, netstack.Options{}, nil},
		{"one queue", netstacktest.B4, netstack.Options{Queues: 1}, nil},
		{"mtu 1280", netstacktest.B6, netstack.Options{MTU: 1280}, nil},
		{"mtu 8920", netstacktest.B4, netstack.Options{MTU: 8920}, nil},
		{"mtu 65535", netstacktest.B6, netstack.Options{MTU: 65535}, nil},
		{"reno with rack", netstacktest.B4, netstack.Options{CongestionControl: "reno", RACK: true}, nil},
		{"small buffers", netstacktest.B4, netstack.Options{SendBuffer: 64 << 10, ReceiveBuffer: 64 << 10}, nil},
		{"worse path", netstacktest.B6, netstack.Options{}, worse()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := netstacktest.Pair(t, &tt.o, tt.path)
			c, d := connect(t, a.Net(), b.Net(), tt.to)
			defer c.Close()
			defer d.Close()
			exchange(t, c, d, 4<<20)
		})
	}
}

// exchange sends size bytes each way at once, in writes of random lengths, half
// closes, and compares checksums.
func exchange(t *testing.T, c, d net.Conn, size int) {
	t.Helper()
	var wg sync.WaitGroup
	for i, end := range []struct{ from, to net.Conn }{{c, d}, {d, c}} {
		data := make([]byte, size+i)
		rng := rand.New(rand.NewPCG(uint64(i), 3))
		for j := range data {
			data[j] = byte(rng.Uint32())
		}
		want := sha256.Sum256(data)
		wg.Go(func() {
			for len(data) > 0 {
				n := min(1+int(rng.Uint32()%100000), len(data))
				if k, err := end.from.Write(data[:n]); k != n || err != nil {
					t.Errorf("wrote %d of %d: %v", k, n, err)
					return
				}
				data = data[n:]
			}
			if err := end.from.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			h := sha256.New()
			n, err := io.Copy(h, end.to)
			if err != nil || n != int64(size+i) || !bytes.Equal(h.Sum(nil), want[:]) {
				t.Errorf("direction %d: %d bytes, %v, or not those that were sent", i, n, err)
			}
		})
	}
	wg.Wait()
}

// TestJoinsAreTaken fails when the ways that make TCP fast are silently not
// taken: superpackets out, several a Read, and joined packets in.
func TestJoinsAreTaken(t *testing.T) {
	a, b := netstacktest.Pair(t, nil, nil)
	c, d := connect(t, a.Net(), b.Net(), netstacktest.B4)
	go func() {
		c.Write(make([]byte, 8<<20))
		c.Close()
	}()
	if n, err := io.Copy(io.Discard, d); n != 8<<20 || err != nil {
		t.Fatal(n, err)
	}
	var packets, supers uint64
	for _, q := range a.Stats().Queues {
		packets += q.Packets
		supers += q.Superpackets
	}
	in := b.Stats().Inbound
	if supers == 0 || packets/supers < 10 {
		t.Errorf("%d packets of %d superpackets", packets, supers)
	}
	if in.Delivered == 0 || in.Packets/in.Delivered < 5 {
		t.Errorf("%d packets in %d deliveries", in.Packets, in.Delivered)
	}
}

func wantOpError(t *testing.T, err error, op string, want error) {
	t.Helper()
	var oe *net.OpError
	if !errors.As(err, &oe) || oe.Op != op || !errors.Is(err, want) {
		t.Errorf("got %v (%T), want a %s error that is %v", err, err, op, want)
	}
}

// TestErrors checks that errors are those of package net.
func TestErrors(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	ctx := t.Context()

	t.Run("refused", func(t *testing.T) {
		for _, to := range []netip.Addr{netstacktest.B4, netstacktest.B6} {
			_, err := a.Net().DialContext(ctx, "tcp", netip.AddrPortFrom(to, 9).String())
			wantOpError(t, err, "dial", syscall.ECONNREFUSED)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := a.Net().DialContext(ctx, "tcp", "10.99.0.77:80")
		wantOpError(t, err, "dial", context.DeadlineExceeded)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%v is not a timeout", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(10*time.Millisecond, cancel)
		_, err := a.Net().DialContext(ctx, "tcp", "10.99.0.77:80")
		wantOpError(t, err, "dial", context.Canceled)
		for _, network := range []string{"tcp", "udp"} {
			_, err = a.Net().DialContext(ctx, network, "10.99.0.2:80")
			wantOpError(t, err, "dial", context.Canceled)
		}
	})
	t.Run("names and networks", func(t *testing.T) {
		for _, tt := range []struct{ network, address string }{
			{"tcp", "example.com:80"}, {"tcp", "10.99.0.2"}, {"tcp", ":80"}, {"tcp4", "[fd99::2]:80"}, {"udp6", "10.99.0.2:1"},
			{"tcp", "10.99.0.2:no-such-service"}, {"tcp", "10.99.0.2:70000"}, {"unix", "/x"}, {"tcp5", "10.99.0.2:80"}, {"", "10.99.0.2:80"},
		} {
			if c, err := a.Net().DialContext(ctx, tt.network, tt.address); err == nil {
				c.Close()
				t.Errorf("dial %s %s: no error", tt.network, tt.address)
			}
		}
		for _, tt := range []struct{ network, address string }{
			{"tcp", "example.com:80"}, {"udp", ":1"}, {"tcp4", "[fd99::1]:80"}, {"tcp", "10.99.0.1"},
		} {
			if l, err := a.Net().Listen(tt.network, tt.address); err == nil {
				l.Close()
				t.Errorf("listen %s %s: no error", tt.network, tt.address)
			}
		}
		_, err := a.Net().DialContext(ctx, "tcp", "example.com:80")
		var de *net.DNSError
		if !errors.As(err, &de) || de.Name != "example.com" {
			t.Errorf("name without a resolver: %v", err)
		}
	})
	t.Run("address in use, and not ours", func(t *testing.T) {
		l, err := b.Net().Listen("tcp", ":81")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, err = b.Net().Listen("tcp", ":81")
		wantOpError(t, err, "listen", syscall.EADDRINUSE)
		for _, foreign := range []string{"10.99.0.1:82", "[fd99::1]:82"} {
			_, err = b.Net().Listen("tcp", foreign)
			wantOpError(t, err, "listen", syscall.EADDRNOTAVAIL)
			_, err = b.Net().ListenPacket("udp", foreign)
			wantOpError(t, err, "listen", syscall.EADDRNOTAVAIL)
		}
	})
	t.Run("reset", func(t *testing.T) {
		c, d := connect(t, a.Net(), b.Net(), netstacktest.B4)
		defer c.Close()
		d.(interface{ SetLinger(int) error }).SetLinger(0)
		d.Close()
		_, err := c.Read(make([]byte, 1))
		wantOpError(t, err, "read", syscall.ECONNRESET)
	})
	t.Run("closed", func(t *testing.T) {
		c, d := connect(t, a.Net(), b.Net(), netstacktest.B4)
		defer d.Close()
		read := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		wantOpError(t, <-read, "read", net.ErrClosed)
		_, err := c.Read(make([]byte, 1))
		wantOpError(t, err, "read", net.ErrClosed)
		_, err = c.Write(make([]byte, 1))
		wantOpError(t, err, "write", net.ErrClosed)
		wantOpError(t, c.Close(), "close", net.ErrClosed)
		wantOpError(t, c.SetDeadline(time.Now()), "set", net.ErrClosed)
		wantOpError(t, c.(interface{ CloseWrite() error }).CloseWrite(), "close", net.ErrClosed)
		if c.LocalAddr() == nil || c.RemoteAddr().String() == "" {
			t.Error("the addresses went with the connection")
		}
	})
	t.Run("listener closed", func(t *testing.T) {
		l, err := b.Net().Listen("tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		accepted := make(chan error)
		go func() {
			_, err := l.Accept()
			accepted <- err
		}()
		l.Close()
		wantOpError(t, <-accepted, "accept", net.ErrClosed)
		_, err = l.Accept()
		wantOpError(t, err, "accept", net.ErrClosed)
	})
	t.Run("deadline", func(t *testing.T) {
		c, d := connect(t, a.Net(), b.Net(), netstacktest.B4)
		defer c.Close()
		defer d.Close()
		c.SetDeadline(time.Now().Add(5 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		wantOpError(t, err, "read", os.ErrDeadlineExceeded)
		big := make([]byte, 64<<20) // nobody reads the other end
		n, err := c.Write(big)
		wantOpError(t, err, "write", os.ErrDeadlineExceeded)
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		m, err := c.Write(big)
		wantOpError(t, err, "write", os.ErrDeadlineExceeded)
		if n != 0 || m == 0 || m == len(big) {
			t.Errorf("wrote %d, %d bytes before the deadline", n, m)
		}
	})
}

// TestHalfClose checks that each side of a connection can be closed alone.
func TestHalfClose(t *testing.T) {
	a, b := netstacktest.Pair(t, nil, nil)
	c, d := connect(t, a.Net(), b.Net(), netstacktest.B6)
	defer c.Close()
	defer d.Close()
	type half interface {
		CloseRead() error
		CloseWrite() error
	}
	if _, err := c.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := c.(half).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(d); string(got) != "question" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	_, err := c.Write([]byte("more"))
	wantOpError(t, err, "write", syscall.EPIPE)
	if _, err := d.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 6)
	if _, err := io.ReadFull(c, buf); string(buf) != "answer" || err != nil {
		t.Fatalf("%q, %v", buf, err)
	}
	if err := c.(half).CloseRead(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(buf); err != io.EOF {
		t.Fatalf("read after CloseRead: %v", err)
	}
}

// TestLinkLocal uses addresses that a system's stack wants a zone for.
func TestLinkLocal(t *testing.T) {
	a := newDevice(t, &netstack.Options{Addresses: []netip.Addr{netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("169.254.1.1")}})
	b := newDevice(t, &netstack.Options{Addresses: []netip.Addr{netip.MustParseAddr("fe80::2"), netip.MustParseAddr("169.254.1.2")}})
	netstacktest.Link(t, a, b, nil)
	for _, to := range []netip.Addr{netip.MustParseAddr("fe80::2"), netip.MustParseAddr("169.254.1.2")} {
		c, d := connect(t, a.Net(), b.Net(), to)
		c.Close()
		d.Close()
		if _, err := a.Net().Ping(t.Context(), to); err != nil {
			t.Error(err)
		}
	}
}

// TestListen checks addresses and families of listeners and that a host
// reaches itself.
func TestListen(t *testing.T) {
	a, b := netstacktest.Pair(t, nil, nil)
	for _, tt := range []struct {
		network, address string
		v4, v6           bool
		shown            string
	}{
		{"tcp", ":90", true, true, "[::]:90"},
		{"tcp4", ":90", true, false, "0.0.0.0:90"},
		{"tcp6", ":90", false, true, "[::]:90"},
		{"tcp", "0.0.0.0:90", true, false, "0.0.0.0:90"},
		{"tcp", "[::]:90", true, true, "[::]:90"},
		{"tcp", "10.99.0.2:90", true, false, "10.99.0.2:90"},
		{"tcp", "[fd99::2]:90", false, true, "[fd99::2]:90"},
		{"tcp", "[::ffff:10.99.0.2]:90", true, false, "10.99.0.2:90"},
	} {
		t.Run(tt.network+" "+tt.address, func(t *testing.T) {
			l, err := b.Net().Listen(tt.network, tt.address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if got := l.Addr().String(); got != tt.shown {
				t.Errorf("Addr %s, want %s", got, tt.shown)
			}
			for _, to := range []struct {
				addr netip.Addr
				want bool
			}{{netstacktest.B4, tt.v4}, {netstacktest.B6, tt.v6}} {
				for _, from := range []*netstack.Device{a, b} { // b: to itself
					c, err := from.Net().DialContext(t.Context(), "tcp", netip.AddrPortFrom(to.addr, 90).String())
					if (err == nil) != to.want {
						t.Errorf("dial %v: %v, want success %v", to.addr, err, to.want)
					}
					if err != nil {
						continue
					}
					d, err := l.Accept()
					if err != nil {
						t.Fatal(err)
					}
					if c.LocalAddr().String() != d.RemoteAddr().String() || d.LocalAddr().String() != c.RemoteAddr().String() {
						t.Errorf("ends disagree: %v %v, %v %v", c.LocalAddr(), c.RemoteAddr(), d.LocalAddr(), d.RemoteAddr())
					}
					go func() {
						d.Write(pattern(100000))
						d.Close()
					}()
					if got, err := io.ReadAll(c); !bytes.Equal(got, pattern(100000)) || err != nil {
						t.Errorf("%v to %v: %d bytes, %v", from.Addresses(), to.addr, len(got), err)
					}
					c.Close()
				}
			}
		})
	}
}
