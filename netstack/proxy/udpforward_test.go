// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

func udpClientTo(t *testing.T, n *netstack.Net, o UDPForwardOptions) *UDPForward {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	f, err := ListenUDPClient(n, &o)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, f)
	return f
}

func udpServerTo(t *testing.T, n *netstack.Net, o UDPForwardOptions) *UDPForward {
	t.Helper()
	if o.Listen == "" {
		o.Listen = ":0"
	}
	f, err := ListenUDPServer(n, &o)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, f)
	return f
}

// TestUDPClient: datagrams of any size get there and back, in order.
func TestUDPClient(t *testing.T) {
	for _, tc := range []struct{ listen, target string }{
		{"127.0.0.1:0", "10.99.0.2:7"},
		{"127.0.0.1:0", "[fd99::2]:7"},
		{"[::1]:0", "10.99.0.2:7"},
		{":0", "10.99.0.2:7"},
	} {
		t.Run(tc.listen+" "+tc.target, func(t *testing.T) {
			near, far := udpNets(t)
			tunnelEcho(t, far, tc.target)
			f := udpClientTo(t, near, UDPForwardOptions{Listen: tc.listen, Target: tc.target})
			const clients = 3
			exchangeMany(t, clients, func() (net.Conn, error) {
				to := addrPortOf(f.Addr())
				if to.Addr().IsUnspecified() {
					to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port())
				}
				return net.Dial("udp", to.String())
			})
			wantCounted(t, f, clients)
		})
	}
}

// TestUDPServer is TestUDPClient the other way.
func TestUDPServer(t *testing.T) {
	for _, tc := range []struct {
		target string
		to     netip.Addr
	}{
		{"127.0.0.1:0", netstacktest.A4},
		{"127.0.0.1:0", netstacktest.A6},
		{"[::1]:0", netstacktest.A4},
	} {
		t.Run(tc.target+" "+tc.to.String(), func(t *testing.T) {
			near, far := udpNets(t)
			target := hostEcho(t, tc.target)
			f := udpServerTo(t, near, UDPForwardOptions{Target: target.String()})
			port := addrPortOf(f.Addr()).Port()
			const clients = 3
			exchangeMany(t, clients, func() (net.Conn, error) {
				return far.DialContext(t.Context(), "udp", netip.AddrPortFrom(tc.to, port).String())
			})
			wantCounted(t, f, clients)
		})
	}
}

// TestUDPServerRefused: that nobody listens at the target is told to the peer.
func TestUDPServerRefused(t *testing.T) {
	near, far := udpNets(t)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := c.LocalAddr().String()
	c.Close()
	f := udpServerTo(t, near, UDPForwardOptions{Target: target})
	wantRefused(t, far, netip.AddrPortFrom(netstacktest.A4, addrPortOf(f.Addr()).Port()))
	if s := f.Stats(); s.DialFailures.Refused == 0 {
		t.Errorf("not counted: %+v", s.DialFailures)
	}
}

// wantRefused sends from n to address to until that is refused.
func wantRefused(t *testing.T, n *netstack.Net, to netip.AddrPort) {
	t.Helper()
	u, err := n.DialContext(t.Context(), "udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	eventually(t, "port unreachable", func() error {
		u.SetDeadline(time.Now().Add(100 * time.Millisecond))
		_, werr := u.Write([]byte("anybody?"))
		_, rerr := u.Read(make([]byte, 100))
		if errors.Is(werr, syscall.ECONNREFUSED) || errors.Is(rerr, syscall.ECONNREFUSED) {
			return nil
		}
		return fmt.Errorf("write: %w, read: %w", werr, rerr)
	})
}

// TestUDPClientForeign: a client gets nothing that is not from the target.
func TestUDPClientForeign(t *testing.T) {
	near, far := udpNets(t)
	target, err := far.ListenPacket("udp", "10.99.0.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	other, err := far.ListenPacket("udp", "10.99.0.2:8")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	f := udpClientTo(t, near, UDPForwardOptions{Target: "10.99.0.2:7"})
	c, err := net.Dial("udp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testTimeout))
	target.SetDeadline(time.Now().Add(testTimeout))
	c.Write([]byte("question"))
	b := make([]byte, 100)
	_, from, err := target.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	other.WriteTo([]byte("forged"), from)
	eventually(t, "the forged answer", func() error {
		if n := f.Stats().Drops.Foreign; n != 1 {
			return fmt.Errorf("%d foreign", n)
		}
		return nil
	})
	target.WriteTo([]byte("answer"), from)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "answer" {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

// TestUDPClientName: what comes before the name is found waits, up to a limit, and
// what nobody finds is counted.
func TestUDPClientName(t *testing.T) {
	near, far := udpNets(t)
	tunnelEcho(t, far, "10.99.0.2:7")
	f, err := ListenUDPClient(near, &UDPForwardOptions{Listen: "127.0.0.1:0", Target: "echo.test:7"})
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan []netip.Addr)
	asked := make(chan string, 10)
	f.side.(*udpClient).names.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		asked <- host
		if a := <-answers; a != nil {
			return a, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	serve(t, f)
	c, err := net.Dial("udp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const sent = maxPending + 3
	for i := range sent {
		c.Write([]byte{byte(i)})
	}
	eventually(t, "datagrams that find no room", func() error {
		if n := f.Stats().Drops.Full; n != sent-maxPending {
			return fmt.Errorf("%d dropped", n)
		}
		return nil
	})
	// The first address cannot be reached from here.
	answers <- []netip.Addr{netip.MustParseAddr("10.99.0.2")}
	if name := <-asked; name != "echo.test" {
		t.Errorf("asked for %q", name)
	}
	c.SetDeadline(time.Now().Add(testTimeout))
	b := make([]byte, 10)
	for i := range maxPending {
		if n, err := c.Read(b); err != nil || n != 1 || b[0] != byte(i) {
			t.Fatalf("answer %d: %v, %v", i, b[:n], err)
		}
	}

	// Another flow asks again.
	d, err := net.Dial("udp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.Write([]byte("lost"))
	answers <- nil
	eventually(t, "the name is not found", func() error {
		if s := f.Stats(); s.Drops.Resolve != 1 || s.DialFailures.NotFound != 1 || s.Active != 1 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// TestUDPExpiry: a silent flow ends, with its socket or port, and the next
// datagram makes a new one.
func TestUDPExpiry(t *testing.T) {
	near, far := udpNets(t)
	target := hostEcho(t, "127.0.0.1:0")
	tunnelEcho(t, far, "10.99.0.2:7")
	// The clock of the flows stands still while a datagram is under way: a flow that
	// ends before its answer is there, however long that takes, loses it.
	const silent = 20 * time.Millisecond
	var clock atomic.Int64
	now := func() time.Duration { return time.Duration(clock.Load()) }
	server, err := ListenUDPServer(near, &UDPForwardOptions{Listen: ":0", Target: target.String(), InactivityTimeout: silent})
	if err != nil {
		t.Fatal(err)
	}
	server.side.(*udpServer).flows.table.now = now
	serve(t, server)
	client, err := ListenUDPClient(near, &UDPForwardOptions{Listen: "127.0.0.1:0", Target: "10.99.0.2:7", InactivityTimeout: silent})
	if err != nil {
		t.Fatal(err)
	}
	client.side.(*udpClient).table.now = now
	serve(t, client)
	for name, tc := range map[string]struct {
		f    *UDPForward
		dial func() (net.Conn, error)
	}{
		"server": {server, func() (net.Conn, error) {
			return far.DialContext(t.Context(), "udp", netip.AddrPortFrom(netstacktest.A4, addrPortOf(server.Addr()).Port()).String())
		}},
		"client": {client, func() (net.Conn, error) { return net.Dial("udp", client.Addr().String()) }},
	} {
		c, err := tc.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for round := range uint64(2) {
			c.SetDeadline(time.Now().Add(testTimeout))
			c.Write([]byte("hello"))
			b := make([]byte, 10)
			if n, err := c.Read(b); err != nil || string(b[:n]) != "hello" {
				t.Fatalf("%s: got %q, %v", name, b[:n], err)
			}
			if s := tc.f.Stats(); s.Active != 1 || s.Idle != round {
				t.Errorf("%s: %+v before the flow was silent", name, s)
			}
			eventually(t, name+": the flow ends", func() error {
				clock.Add(int64(silent))
				if s := tc.f.Stats(); s.Active != 0 || s.Idle < round+1 || s.Accepted < round+1 {
					return fmt.Errorf("%+v", s)
				}
				return nil
			})
		}
	}
}

// TestUDPServerFlood: a peer that sends from many ports costs no more sockets
// than the limit, and loses its own oldest flows only.
func TestUDPServerFlood(t *testing.T) {
	near, far := udpNets(t)
	target := hostEcho(t, "127.0.0.1:0")
	const total = 100
	f := udpServerTo(t, near, UDPForwardOptions{Target: target.String(), Limits: Limits{Total: total, PerClient: 50}})
	to := netip.AddrPortFrom(netstacktest.A4, addrPortOf(f.Addr()).Port())

	good, err := far.DialContext(t.Context(), "udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	before, most := openFiles(), 0
	const ports = 50_000
	for i := range ports {
		d := netstack.Datagrams{
			Source:      netip.AddrPortFrom(netip.MustParseAddr("10.99.0.77"), uint16(10_000+i)),
			Destination: to,
			Payloads:    [][]byte{[]byte("flood")},
		}
		if _, err := far.SendDatagrams(&d); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			most = max(most, openFiles())
		}
	}
	if err := exchange(good, 1, new(sync.Mutex)); err != nil {
		t.Errorf("another peer: %v", err)
	}
	s := f.Stats()
	if s.Active > total || s.Refused+s.Drops.Full == 0 {
		t.Errorf("%d flows, %d ended for others, %d datagrams dropped", s.Active, s.Refused, s.Drops.Full)
	}
	if limit := before + total + maxOpening + 10; most > limit {
		t.Errorf("%d open files, want %d at most", most, limit)
	}
}

// TestUDPClientFlood: a client that sends from many ports costs no more ports in
// the tunnel than the limit, and loses its own oldest flows only.
func TestUDPClientFlood(t *testing.T) {
	near, far := udpNets(t)
	sink, err := far.ListenPacket("udp", "10.99.0.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	const total, each = 100, 50
	f := udpClientTo(t, near, UDPForwardOptions{Target: "10.99.0.2:7", Limits: Limits{Total: total, PerClient: each}})
	c := f.side.(*udpClient)
	slab := []byte("flood")
	var b clientBatch
	from := func(a string, port int) []batching.Packet {
		return []batching.Packet{{Size: len(slab), Remote: netip.AddrPortFrom(netip.MustParseAddr(a), uint16(port))}}
	}
	c.take(t.Context(), c.conns[0], slab, from("198.51.100.1", 1), &b)
	const ports = 50_000
	for i := range ports {
		c.take(t.Context(), c.conns[0], slab, from("198.51.100.2", 10_000+i), &b)
	}
	if s := f.Stats(); s.Active != each+1 || s.Refused != ports-each || s.DatagramsOut != ports+1 {
		t.Errorf("%d flows, %d ended for others, %d datagrams sent, want %d, %d, %d", s.Active, s.Refused, s.DatagramsOut, each+1, ports-each, ports+1)
	}
	c.table.mu.Lock()
	_, kept := c.table.flows[netip.MustParseAddrPort("198.51.100.1:1")]
	c.table.mu.Unlock()
	if !kept {
		t.Error("another client has lost its flow")
	}
}

// TestUDPLifecycle: every way to end leaves nothing behind, and nothing open.
func TestUDPLifecycle(t *testing.T) {
	near, far := udpNets(t)
	target := hostEcho(t, "127.0.0.1:0")
	tunnelEcho(t, far, "10.99.0.2:7")
	listen := map[string]func() (*UDPForward, error){
		"client": func() (*UDPForward, error) {
			return ListenUDPClient(near, &UDPForwardOptions{Listen: "127.0.0.1:0", Target: "10.99.0.2:7"})
		},
		"server": func() (*UDPForward, error) {
			return ListenUDPServer(near, &UDPForwardOptions{Listen: "10.99.0.1:53", Target: target.String()})
		},
	}
	for name, f := range listen {
		for _, how := range []string{"never run", "context", "closed", "closed before", "busy"} {
			s, err := f()
			if err != nil {
				t.Fatalf("%s, %s: %v", name, how, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			switch how {
			case "never run":
				ended <- nil
			case "context":
				go func() { ended <- s.Run(ctx) }()
				cancel()
			case "closed":
				go func() { ended <- s.Run(ctx) }()
			case "closed before":
				s.Close()
				ended <- s.Run(ctx)
			case "busy":
				go func() { ended <- s.Run(ctx) }()
				dial := func() (net.Conn, error) { return net.Dial("udp", s.Addr().String()) }
				if name == "server" {
					dial = func() (net.Conn, error) { return far.DialContext(ctx, "udp", s.Addr().String()) }
				}
				c, err := dial()
				if err != nil {
					t.Fatal(err)
				}
				c.Write([]byte("anybody?"))
				c.Close()
			}
			if err := s.Close(); err != nil {
				t.Errorf("%s, %s: close: %v", name, how, err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("%s, %s: close again: %v", name, how, err)
			}
			if err := <-ended; err != nil {
				t.Errorf("%s, %s: run: %v", name, how, err)
			}
			cancel()
			if s.Stats().Active != 0 {
				t.Errorf("%s, %s: flows are left", name, how)
			}
		}
	}
}

func TestUDPForwardErrors(t *testing.T) {
	near, _ := udpNets(t)
	taken := udpServerTo(t, near, UDPForwardOptions{Listen: ":53", Target: "127.0.0.1:1"})
	_ = taken
	busy, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tc := range []struct {
		name           string
		server         bool
		listen, target string
		want           error // nil: any
	}{
		{"no target", false, "127.0.0.1:0", "", nil},
		{"no port", false, "127.0.0.1:0", "10.99.0.2", nil},
		{"port 0", false, "127.0.0.1:0", "10.99.0.2:0", nil},
		{"no host", false, "127.0.0.1:0", ":53", nil},
		{"no port to listen at", false, "127.0.0.1", "10.99.0.2:53", nil},
		{"port taken", false, busy.LocalAddr().String(), "10.99.0.2:53", syscall.EADDRINUSE},
		{"server without target", true, ":0", "", nil},
		{"server at a name", true, "localhost:0", "127.0.0.1:1", nil},
		{"server at no port", true, "10.99.0.1:x", "127.0.0.1:1", nil},
		{"server at a foreign address", true, "10.99.0.2:0", "127.0.0.1:1", syscall.EADDRNOTAVAIL},
		{"server at a taken port", true, "10.99.0.1:53", "127.0.0.1:1", syscall.EADDRINUSE},
	} {
		listen := ListenUDPClient
		if tc.server {
			listen = ListenUDPServer
		}
		f, err := listen(near, &UDPForwardOptions{Listen: tc.listen, Target: tc.target})
		if err == nil {
			f.Close()
			t.Errorf("%s: no error", tc.name)
		}
		if tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}
