// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
)

// The network behind the router: its hosts are all on the loopback interface of
// this one, at the port of the address.
var (
	behind4 = netip.MustParseAddr("192.0.2.1")
	behind6 = netip.MustParseAddr("2001:db8::1")
)

// loopbackOf returns where the hosts behind the router really are.
func loopbackOf(to netip.AddrPort) netip.AddrPort {
	a := netip.MustParseAddr("127.0.0.1")
	if to.Addr().Is6() {
		a = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(a, to.Port())
}

func subnetRouter(t *testing.T, n *netstack.Net, o SubnetRouterOptions) *SubnetRouter {
	t.Helper()
	if o.Prefixes == nil {
		o.Prefixes = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	}
	o.Logger = testutil.Logger(t)
	o.Own = func() []netip.Addr { return nil } // whichever this host has
	if o.DialTCP == nil {
		o.DialTCP = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return dialHost(ctx, "tcp", loopbackOf(to).String())
		}
	}
	if o.DialUDP == nil {
		o.DialUDP = func(ctx context.Context, to netip.AddrPort) (*net.UDPConn, error) {
			return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(loopbackOf(to)))
		}
	}
	r, err := NewSubnetRouter(n, &o)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, r)
	return r
}

// TestSubnetUDP: datagrams of any size get there and back, in order.
func TestSubnetUDP(t *testing.T) {
	for _, to := range []netip.Addr{behind4, behind6} {
		t.Run(to.String(), func(t *testing.T) {
			near, far := udpNets(t)
			target := hostEcho(t, loopbackOf(netip.AddrPortFrom(to, 0)).String())
			r := subnetRouter(t, near, SubnetRouterOptions{})
			const clients = 3
			exchangeMany(t, clients, func() (net.Conn, error) {
				return far.DialContext(t.Context(), "udp", netip.AddrPortFrom(to, target.Port()).String())
			})
			wantCounted(t, r, clients)
		})
	}
}

// TestSubnetUDPRefused: a port that nobody has, and an address that is not listed,
// are port unreachable.
func TestSubnetUDPRefused(t *testing.T) {
	near, far := udpNets(t)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := addrPortOf(c.LocalAddr()).Port()
	c.Close()
	r := subnetRouter(t, near, SubnetRouterOptions{})
	wantRefused(t, far, netip.AddrPortFrom(behind4, port))
	if s := r.Stats(); s.DialFailures.Refused == 0 || s.Denied != 0 {
		t.Errorf("%+v", s)
	}
	wantRefused(t, far, netip.MustParseAddrPort("198.51.100.1:53"))
	if d := r.Details().Denied; d["unlisted"] == 0 || r.Stats().Denied != d["unlisted"] {
		t.Errorf("denied: %v", d)
	}
}

// echoTCP answers with what it gets until that ends, and returns how much it was. It
// does not let the kernel do it, for which the runtime keeps pipes until they are
// garbage.
func echoTCP(c *net.TCPConn) int64 {
	n, _ := io.Copy(c, struct{ io.Reader }{c})
	return n
}

// hostTCP accepts one connection after the other and serves it.
func hostTCP(t *testing.T, handle func(c *net.TCPConn)) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return addrPortOf(l.Addr()).Port()
}

// TestSubnetTCP: a connection carries bytes both ways and its halves end one by
// one.
func TestSubnetTCP(t *testing.T) {
	near, far := udpNets(t)
	port := hostTCP(t, func(c *net.TCPConn) {
		n := echoTCP(c)
		fmt.Fprintf(c, "%d", n)
	})
	r := subnetRouter(t, near, SubnetRouterOptions{})
	c, err := far.DialContext(t.Context(), "tcp", netip.AddrPortFrom(behind4, port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testTimeout))
	const size = 4 << 20
	sent := payload(3, 4, size)
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Write(sent)
		closeWrite(c)
	})
	got, err := io.ReadAll(c)
	wg.Wait()
	if want := string(sent) + fmt.Sprint(size); err != nil || string(got) != want {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
	eventually(t, "the connection ends", func() error {
		if s := r.Stats(); s.Accepted != 1 || s.Active != 0 || s.BytesIn != size || s.BytesOut != size+7 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// TestSubnetTCPRefused: the peer hears of a refusal at once, also of one by the
// policy.
func TestSubnetTCPRefused(t *testing.T) {
	near, far := udpNets(t)
	var fail error
	r := subnetRouter(t, near, SubnetRouterOptions{DialTCP: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fail}
	}})
	for _, tc := range []struct {
		to   string
		fail error
	}{
		{"192.0.2.1:1", syscall.ECONNREFUSED},
		{"192.0.2.1:1", syscall.EHOSTUNREACH},
		{"192.0.2.1:1", syscall.ENETUNREACH},
		{"192.0.2.1:1", syscall.EACCES},
		{"198.51.100.1:1", nil}, // not listed
	} {
		fail = tc.fail
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		c, err := far.DialContext(ctx, "tcp", tc.to)
		cancel()
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s, %v: got %v, want %v", tc.to, tc.fail, err, syscall.ECONNREFUSED)
		}
		if err == nil {
			c.Close()
		}
	}
	if s := r.Stats(); s.DialFailures.Refused != 1 || s.DialFailures.Unreachable != 2 || s.DialFailures.Other != 1 || s.Denied != 1 {
		t.Errorf("%+v", s)
	}
}

// TestSubnetTCPSilent: the peer of a silent target gets nothing and may ask again;
// beyond the limit of requests under way likewise.
func TestSubnetTCPSilent(t *testing.T) {
	near, far := udpNets(t)
	dialling := make(chan struct{}, 10)
	r := subnetRouter(t, near, SubnetRouterOptions{
		Dials: Limits{PerClient: 1},
		DialTCP: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			dialling <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	r.timeout = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if c, err := far.DialContext(ctx, "tcp", "192.0.2.1:1"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, %v", c, err)
			}
		})
	}
	<-dialling
	eventually(t, "a request that is one too many and one that timed out", func() error {
		if s := r.Stats(); s.Refused == 0 || s.DialFailures.Timeout == 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	cancel()
	wg.Wait()
}

// TestSubnetReconfigure: what is not listed any more ends, the rest stays.
func TestSubnetReconfigure(t *testing.T) {
	near, far := udpNets(t)
	echo := hostEcho(t, "127.0.0.1:0")
	port := hostTCP(t, func(c *net.TCPConn) { echoTCP(c) })
	r := subnetRouter(t, near, SubnetRouterOptions{})
	conns := make(map[string]net.Conn)
	for _, host := range []string{"192.0.2.1", "192.0.2.2"} {
		for network, port := range map[string]uint16{"tcp": port, "udp": echo.Port()} {
			c, err := far.DialContext(t.Context(), network, netip.AddrPortFrom(netip.MustParseAddr(host), port).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns[network+" "+host] = c
		}
	}
	roundTrip := func(c net.Conn) error {
		c.SetDeadline(time.Now().Add(testTimeout))
		b := make([]byte, 10)
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := c.Read(b)
		return err
	}
	for name, c := range conns {
		if err := roundTrip(c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if err := r.Reconfigure(&SubnetRouterOptions{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"tcp 192.0.2.1": syscall.ECONNRESET, "tcp 192.0.2.2": nil,
		"udp 192.0.2.1": syscall.ECONNREFUSED, "udp 192.0.2.2": nil,
	} {
		if err := roundTrip(conns[name]); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if err := r.Reconfigure(&SubnetRouterOptions{Prefixes: []netip.Prefix{{}}}); err == nil {
		t.Error("an invalid prefix is taken")
	}
}

// TestSubnetUnknownPeer: who is nobody gets nowhere.
func TestSubnetUnknownPeer(t *testing.T) {
	near, far := udpNets(t)
	r := subnetRouter(t, near, SubnetRouterOptions{PeerOf: func(netip.Addr) (any, bool) { return nil, false }})
	wantRefused(t, far, netip.MustParseAddrPort("192.0.2.1:53"))
	if d := r.Details().Denied; d["source"] == 0 {
		t.Errorf("denied: %v", d)
	}
}

// TestSubnetFlood: as TestUDPServerFlood, from many peers to many hosts.
func TestSubnetFlood(t *testing.T) {
	near, far := udpNets(t)
	target := hostEcho(t, "127.0.0.1:0")
	const total = 100
	r := subnetRouter(t, near, SubnetRouterOptions{UDP: Limits{Total: total, PerClient: 50}})
	before, most := openFiles(), 0
	for i := range 20_000 {
		d := netstack.Datagrams{
			Source:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 98, byte(i >> 8), byte(i)}), uint16(1000+i)),
			Destination: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), target.Port()),
			Payloads:    [][]byte{[]byte("flood")},
		}
		if _, err := far.SendDatagrams(&d); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			most = max(most, openFiles())
		}
	}
	s := r.Stats()
	if s.Active > total || s.Refused+s.Drops.Full == 0 {
		t.Errorf("%d flows, %d ended for others, %d datagrams dropped", s.Active, s.Refused, s.Drops.Full)
	}
	if limit := before + total + maxOpening + 10; most > limit {
		t.Errorf("%d open files, want %d at most", most, limit)
	}
}

// TestSubnetLifecycle: every way to end leaves nothing behind.
func TestSubnetLifecycle(t *testing.T) {
	near, far := udpNets(t)
	echo := hostEcho(t, "127.0.0.1:0")
	port := hostTCP(t, func(c *net.TCPConn) { echoTCP(c) })
	for _, how := range []string{"never run", "context", "closed", "closed before", "busy"} {
		r, err := NewSubnetRouter(near, &SubnetRouterOptions{
			Any: true, Own: func() []netip.Addr { return nil },
			DialTCP: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
				return dialHost(ctx, "tcp", loopbackOf(to).String())
			},
			DialUDP: func(ctx context.Context, to netip.AddrPort) (*net.UDPConn, error) {
				return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(loopbackOf(to)))
			},
		})
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		switch how {
		case "never run":
			ended <- nil
		case "context":
			go func() { ended <- r.Run(ctx) }()
			cancel()
		case "closed":
			go func() { ended <- r.Run(ctx) }()
		case "closed before":
			r.Close()
			ended <- r.Run(ctx)
		case "busy":
			go func() { ended <- r.Run(ctx) }()
			c, err := far.DialContext(ctx, "tcp", netip.AddrPortFrom(behind4, port).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.Write([]byte("x"))
			io.ReadFull(c, make([]byte, 1))
			u, err := far.DialContext(ctx, "udp", netip.AddrPortFrom(behind4, echo.Port()).String())
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			u.Write([]byte("x"))
			u.SetDeadline(time.Now().Add(testTimeout))
			if _, err := u.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close: %v", how, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close again: %v", how, err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: run: %v", how, err)
		}
		cancel()
		if s := r.Stats(); s.Active != 0 {
			t.Errorf("%s: %d are left", how, s.Active)
		}
	}
}
