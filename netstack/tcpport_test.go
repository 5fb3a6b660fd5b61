// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// ownPort4 is the port of openPort at the address of newDevice.
var ownPort4 = netip.AddrPortFrom(hostV4, 4480)

// openPort makes handle the handler of requests to ownPort4's port at all
// addresses.
func openPort(tb testing.TB, d *netstack.Device, handle func(r *netstack.TCPRequest)) *netstack.TCPPort {
	tb.Helper()
	p, err := d.Net().OpenTCPPort(netip.AddrPortFrom(netip.Addr{}, ownPort4.Port()), handle)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// dialPort connects to ownPort4's port of an address.
func dialPort(t *testing.T, n *netstack.Net, to netip.Addr, patience time.Duration) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return n.DialContext(ctx, "tcp", netip.AddrPortFrom(to, ownPort4.Port()).String())
}

const patience = 20 * time.Second

// TestTCPPort checks the answers to a request, from the tunnel and from the host
// itself.
func TestTCPPort(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	var handler atomic.Pointer[func(*netstack.TCPRequest)]
	p := openPort(t, b, func(r *netstack.TCPRequest) { (*handler.Load())(r) })
	handle := func(f func(*netstack.TCPRequest)) { handler.Store(&f) }
	if got, want := p.LocalAddr(), netip.AddrPortFrom(netip.IPv6Unspecified(), ownPort4.Port()); got != want {
		t.Errorf("local address %v, want %v", got, want)
	}

	for _, tt := range []struct {
		from *netstack.Net
		to   netip.Addr
	}{
		{a.Net(), netstacktest.B4}, {a.Net(), netstacktest.B6}, {b.Net(), netstacktest.B4},
	} {
		t.Run(fmt.Sprintf("accept at %v, local: %t", tt.to, tt.from == b.Net()), func(t *testing.T) {
			got := make(chan net.Conn, 1)
			handle(func(r *netstack.TCPRequest) {
				c, err := r.Accept()
				if err != nil {
					t.Error(err)
				}
				if r.Destination.Addr() != tt.to || c.LocalAddr().String() != r.Destination.String() || c.RemoteAddr().String() != r.Source.String() {
					t.Errorf("%v to %v accepted as %v to %v", r.Source, r.Destination, c.RemoteAddr(), c.LocalAddr())
				}
				got <- c
			})
			c, err := dialPort(t, tt.from, tt.to, patience)
			if err != nil {
				t.Fatal(err)
			}
			d := <-got
			defer c.Close()
			defer d.Close()
			exchange(t, c, d, 2<<20)
		})
	}
	t.Run("refuse", func(t *testing.T) {
		handle((*netstack.TCPRequest).Refuse)
		for _, to := range []netip.Addr{netstacktest.B4, netstacktest.B6} {
			_, err := dialPort(t, a.Net(), to, patience)
			wantOpError(t, err, "dial", syscall.ECONNREFUSED)
		}
	})
	t.Run("ignore", func(t *testing.T) {
		handle((*netstack.TCPRequest).Ignore)
		_, err := dialPort(t, a.Net(), netstacktest.B4, 50*time.Millisecond)
		wantOpError(t, err, "dial", context.DeadlineExceeded)
	})
	t.Run("late", func(t *testing.T) {
		b.SetAddresses([]netip.Addr{netstacktest.B4, netstacktest.B6, ownPort4.Addr()})
		handle((*netstack.TCPRequest).Refuse)
		before := b.Stats().Ports.Refused
		_, err := dialPort(t, a.Net(), ownPort4.Addr(), patience)
		wantOpError(t, err, "dial", syscall.ECONNREFUSED)
		if n := b.Stats().Ports.Refused - before; n != 1 {
			t.Errorf("the handler refused %d times", n)
		}
	})
	t.Run("other port", func(t *testing.T) {
		handle(func(r *netstack.TCPRequest) { t.Errorf("request %v to %v", r.Source, r.Destination) })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := a.Net().DialContext(ctx, "tcp", netip.AddrPortFrom(netstacktest.B4, 9).String())
		wantOpError(t, err, "dial", syscall.ECONNREFUSED)
	})
	t.Run("stray segment", func(t *testing.T) { // is not a request
		before := b.Stats()
		s := testutil.TCP{Src: netip.MustParseAddrPort("198.18.0.1:1"), Dst: netip.AddrPortFrom(netstacktest.B4, ownPort4.Port()), Seq: 1, Ack: 1, Flags: testutil.ACK}
		b.Write([][]byte{s.Packet()}, 0)
		if s := b.Stats(); s.Ports.Requests != before.Ports.Requests || s.TCP.ResetsSent != before.TCP.ResetsSent+1 {
			t.Errorf("%+v, %+v", s.Ports, s.TCP)
		}
	})
	p.Close()
	t.Run("closed", func(t *testing.T) {
		_, err := dialPort(t, a.Net(), netstacktest.B4, patience)
		wantOpError(t, err, "dial", syscall.ECONNREFUSED)
	})
}

// TestTCPPortReservation checks who can have a port beside whom.
func TestTCPPortReservation(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	n := b.Net()
	open := func(t *testing.T, local string) (io.Closer, error) {
		return n.OpenTCPPort(netip.MustParseAddrPort(local), (*netstack.TCPRequest).Refuse)
	}
	listen := func(t *testing.T, local string) (io.Closer, error) { return n.Listen("tcp", local) }
	type opener func(t *testing.T, local string) (io.Closer, error)
	all, one, six, other := "[::]:70", netip.AddrPortFrom(netstacktest.B4, 70).String(),
		netip.AddrPortFrom(netstacktest.B6, 70).String(), netip.AddrPortFrom(netstacktest.B4, 71).String()
	for _, tt := range []struct {
		name          string
		first, second opener
		at, then      string
		fine          bool
	}{
		{"port, listener", open, listen, all, all, false},
		{"listener, port", listen, open, all, all, false},
		{"port, port", open, open, all, all, false},
		{"port at all, listener at one", open, listen, all, one, false},
		{"port at one, listener at all", open, listen, one, all, false},
		{"listener at all, port at one", listen, open, all, one, false},
		{"listener at one, port at all", listen, open, one, all, false},
		{"port at all, port at one", open, open, all, six, false},
		{"port at one, port at all", open, open, six, all, false},
		{"port at one, port at another", open, open, one, six, true},
		{"port at one, listener at another", open, listen, one, six, true},
		{"another port", open, open, one, other, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // Close gives it back
				c, err := tt.first(t, tt.at)
				if err != nil {
					t.Fatal(err)
				}
				d, err := tt.second(t, tt.then)
				if tt.fine {
					if err != nil {
						t.Error(err)
					}
				} else {
					wantOpError(t, err, "listen", syscall.EADDRINUSE)
				}
				if err == nil {
					d.Close()
				}
				c.Close()
			}
		})
	}
	t.Run("not ours", func(t *testing.T) {
		_, err := open(t, "192.0.2.77:70")
		wantOpError(t, err, "listen", syscall.EADDRNOTAVAIL)
		_, err = n.OpenTCPPort(netip.AddrPort{}, nil)
		wantOpError(t, err, "listen", syscall.EINVAL)
	})
	t.Run("any port", func(t *testing.T) {
		p, err := n.OpenTCPPort(netip.AddrPort{}, (*netstack.TCPRequest).Refuse)
		if err != nil {
			t.Fatal(err)
		}
		q, err := n.OpenTCPPort(netip.AddrPort{}, (*netstack.TCPRequest).Refuse)
		if err != nil {
			t.Fatal(err)
		}
		if p.LocalAddr().Port() < 1024 || p.LocalAddr() == q.LocalAddr() {
			t.Errorf("ports %v and %v", p.LocalAddr(), q.LocalAddr())
		}
		p.Close()
		q.Close()
	})
	t.Run("port of connections", func(t *testing.T) { // of a listener of before, and one that was dialed
		c, d := connect(t, a.Net(), n, netstacktest.B4)
		defer c.Close()
		defer d.Close()
		e, f := connect(t, n, a.Net(), netstacktest.A4)
		defer e.Close()
		defer f.Close()
		for _, addr := range []net.Addr{d.LocalAddr(), e.LocalAddr()} {
			p, err := n.OpenTCPPort(netip.AddrPortFrom(netip.Addr{}, addr.(*net.TCPAddr).AddrPort().Port()), (*netstack.TCPRequest).Refuse)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
		}
		exchange(t, c, d, 1<<10)
		exchange(t, e, f, 1<<10)
	})
}

// TestTCPPortLimit checks that one client leaves room for others.
func TestTCPPortLimit(t *testing.T) {
	testutil.LeakCheck(t)
	b := newDevice(t, nil)
	release := make(chan struct{})
	p := openPort(t, b, func(*netstack.TCPRequest) { <-release })
	send := func(from string, n int) {
		for i := range n {
			b.Write([][]byte{syn(netip.AddrPortFrom(netip.MustParseAddr(from), uint16(1000+i)), ownPort4)}, 0)
		}
	}
	send("198.18.0.1", 3073)
	send("198.18.0.2", 1025)
	if s := b.Stats().Ports; s.Requests != 4096 || s.Pending != 4096 || s.DropsClient != 1 || s.DropsLimit != 1 {
		t.Errorf("%+v", s)
	}
	close(release)
	p.Close()
	if s := b.Stats().Ports; s.Pending != 0 || s.Ignored != 4096 {
		t.Errorf("after Close: %+v", s)
	}
}

// TestTCPPortClose closes a port with requests at every stage: one that nobody
// has answered, one that waits for its client, and a connection.
func TestTCPPortClose(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	other, err := b.Net().OpenTCPPort(netip.MustParseAddrPort("[::]:90"), func(r *netstack.TCPRequest) {
		time.Sleep(time.Millisecond)
		r.Refuse()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for range 10 {
		conns := make(chan net.Conn, 1)
		release := make(chan struct{})
		var running, begun atomic.Int32
		p := openPort(t, b, func(r *netstack.TCPRequest) {
			running.Add(1)
			begun.Add(1)
			defer running.Add(-1)
			if r.Source.Addr() == netstacktest.A4 {
				c, err := r.Accept()
				if err != nil {
					t.Error(err)
				}
				conns <- c
				return
			}
			if r.Source.Port()%2 == 0 {
				<-release
			}
			_, err := r.Accept()
			wantOpError(t, err, "accept", net.ErrClosed)
			time.Sleep(5 * time.Millisecond) // Close could be over
		})
		c, err := dialPort(t, a.Net(), netstacktest.B4, patience)
		if err != nil {
			t.Fatal(err)
		}
		d := <-conns
		const n = 20
		for i := range n {
			b.Write([][]byte{syn(client(i), netip.AddrPortFrom(netstacktest.B4, ownPort4.Port()))}, 0)
		}
		go func() {
			<-p.Done()
			close(release)
		}()
		p.Close()
		if k := running.Load(); k != 0 {
			t.Errorf("%d handlers run after Close", k)
		}
		if k := begun.Load(); k != n+1 {
			t.Errorf("%d handlers ran, want %d", k, n+1)
		}
		p.Close() // does nothing
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err = a.Net().DialContext(ctx, "tcp", netip.AddrPortFrom(netstacktest.B4, 90).String())
		cancel()
		wantOpError(t, err, "dial", syscall.ECONNREFUSED) // by its handler
		exchange(t, c, d, 10_000)
		c.Close()
		d.Close()
	}
	if s := b.Stats().Ports; s.Pending != 0 || s.Accepted != 10 || s.Refused != 10 {
		t.Errorf("%+v", s)
	}
}
