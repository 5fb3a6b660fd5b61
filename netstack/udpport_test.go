// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

func openUDPPort(tb testing.TB, n *netstack.Net, local string, receive func(*netstack.Datagrams)) *netstack.UDPPort {
	tb.Helper()
	a, err := netip.ParseAddrPort(local)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := n.OpenUDPPort(a, receive)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { p.Close() })
	return p
}

// TestUDPPort writes batches in which flows are mixed and checks that each is
// handed over at once, in order, without a copy.
func TestUDPPort(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6 %v", v6), func(t *testing.T) {
			d := newDevice(t, nil)
			host, far := hostV4, farV4
			if v6 {
				host, far = hostV6, farV6
			}
			dst := netip.AddrPortFrom(host, 53)
			const flows, each = 4, 32
			var bufs [][]byte
			want := make(map[netip.AddrPort][][]byte)
			for i := range each {
				for f := range flows {
					src := netip.AddrPortFrom(far, uint16(100+f))
					payload := fmt.Appendf(nil, "%d of %d", i, f)
					bufs = append(bufs, append(make([]byte, 16), testutil.UDP(src, dst, payload)...))
					want[src] = append(want[src], payload)
				}
			}
			calls := 0
			openUDPPort(t, d.Net(), dst.String(), func(g *netstack.Datagrams) {
				calls++
				if g.Destination != dst {
					t.Errorf("destination %v", g.Destination)
				}
				equal(t, g.Payloads, want[g.Source])
				// In place, in the packet i of the flow.
				f := int(g.Source.Port() - 100)
				for i, p := range g.Payloads {
					whole := bufs[i*flows+f]
					if &whole[len(whole)-1] != &p[len(p)-1] {
						t.Fatal("the payload was copied")
					}
				}
				delete(want, g.Source)
			})
			if n, err := d.Write(bufs, 16); n != len(bufs) || err != nil {
				t.Fatal(n, err)
			}
			if calls != flows || len(want) != 0 {
				t.Errorf("%d calls, want %d; %d flows left", calls, flows, len(want))
			}
			if s := d.Stats(); s.UDP.PortDatagrams != flows*each || s.UDP.Ports != 1 || s.Inbound.Packets != flows*each || s.Inbound.Delivered != 0 {
				t.Errorf("stats %+v", s)
			}
			// A packet with extra headers among others keeps the order.
			got := ""
			openUDPPort(t, d.Net(), netip.AddrPortFrom(host, 54).String(), func(g *netstack.Datagrams) {
				for _, p := range g.Payloads {
					got += string(p)
				}
			})
			src, dst := netip.AddrPortFrom(far, 1), netip.AddrPortFrom(host, 54)
			odd := testutil.UDP(src, dst, []byte("b"))
			if v6 {
				odd = append(odd[:40:40], append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, odd[40:]...)...)
				odd[6], odd[5] = 60, odd[5]+8
			} else {
				odd = append(odd[:20:20], append([]byte{1, 1, 1, 0}, odd[20:]...)...)
				odd[0], odd[3] = 0x46, odd[3]+4
				odd[10], odd[11] = 0, 0
				fixIP(odd, 24)
			}
			d.Write([][]byte{testutil.UDP(src, dst, []byte("a")), odd, testutil.UDP(src, dst, []byte("c")), {}}, 0)
			if got != "abc" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// fixIP completes the checksum of an IPv4 header of n bytes.
func fixIP(b []byte, n int) {
	sum := uint32(0)
	for i := 0; i < n; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	sum = sum>>16 + sum&0xffff
	sum = ^(sum>>16 + sum)
	b[10], b[11] = byte(sum>>8), byte(sum)
}

// TestUDPPortConflicts checks that sockets and ports never share a port, and
// that it is free after Close.
func TestUDPPortConflicts(t *testing.T) {
	d := newDevice(t, nil)
	n := d.Net()
	nothing := func(*netstack.Datagrams) {}
	for _, tt := range []struct {
		first, second string
		conflict      bool
	}{
		{"[::]:80", "[::]:80", true},
		{"[::]:80", "0.0.0.0:80", true},
		{"[::]:80", "10.1.0.1:80", true},
		{"10.1.0.1:80", "[::]:80", true},
		{"[fd01::1]:80", "[::]:80", true},
		{"10.1.0.1:80", "10.1.0.1:80", true},
		{"10.1.0.1:80", "[fd01::1]:80", false},
		{"10.1.0.1:80", "10.1.0.1:81", false},
	} {
		open := func(kind, at string) (func() error, error) {
			if kind == "port" {
				p, err := n.OpenUDPPort(netip.MustParseAddrPort(at), nothing)
				if err != nil {
					return nil, err
				}
				return p.Close, nil
			}
			host, port, _ := net.SplitHostPort(at)
			if host == "::" || host == "0.0.0.0" {
				host = ""
			}
			c, err := n.ListenPacket("udp", net.JoinHostPort(host, port))
			if err != nil {
				return nil, err
			}
			return c.Close, nil
		}
		for _, kinds := range [][2]string{{"port", "port"}, {"port", "socket"}, {"socket", "port"}} {
			closeFirst, err := open(kinds[0], tt.first)
			if err != nil {
				t.Fatal(err)
			}
			closeSecond, err := open(kinds[1], tt.second)
			if tt.conflict {
				wantOpError(t, err, "listen", syscall.EADDRINUSE)
			} else if err != nil {
				t.Errorf("%s %s and %s %s: %v", kinds[0], tt.first, kinds[1], tt.second, err)
			} else {
				closeSecond()
			}
			closeFirst()
			if closeSecond, err = open(kinds[1], tt.second); err != nil {
				t.Errorf("%s %s after the end of %s %s: %v", kinds[1], tt.second, kinds[0], tt.first, err)
			} else {
				closeSecond()
			}
		}
	}

	seen := make(map[uint16]bool)
	for range 100 {
		p := openUDPPort(t, n, "[::]:0", nothing)
		a := p.LocalAddr()
		if a.Addr() != netip.IPv6Unspecified() || a.Port() < 16000 || seen[a.Port()] {
			t.Errorf("ephemeral port %v", a)
		}
		seen[a.Port()] = true
	}
	zero, err := n.OpenUDPPort(netip.AddrPort{}, nothing)
	if err != nil || zero.LocalAddr().Port() == 0 {
		t.Error(err)
	}
	_, err = n.OpenUDPPort(netip.AddrPortFrom(farV4, 1), nothing)
	wantOpError(t, err, "listen", syscall.EADDRNOTAVAIL)
	_, err = n.OpenUDPPort(netip.AddrPortFrom(hostV4, 1), nil)
	wantOpError(t, err, "listen", syscall.EINVAL)
	if got := d.Stats().UDP.Ports; got != 101 {
		t.Errorf("%d ports, want 101", got)
	}
	d.Close()
	_, err = n.OpenUDPPort(netip.AddrPortFrom(hostV4, 1), nothing)
	wantOpError(t, err, "listen", net.ErrClosed)
	for range 2 {
		if err := zero.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestUDPPortOrNot checks what goes to a port, what to a socket and what to
// nobody.
func TestUDPPortOrNot(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, &netstack.Options{Queues: 1})
	got := make(map[string]int)
	openUDPPort(t, d.Net(), "10.1.0.1:1", func(g *netstack.Datagrams) { got["exact"] += len(g.Payloads) })
	openUDPPort(t, d.Net(), "[::]:2", func(g *netstack.Datagrams) { got["any"] += len(g.Payloads) })
	pc := listenUDP(t, d.Net(), "udp", ":3")
	at := func(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
	packets := [][]byte{
		testutil.UDP(at(farV4, 9), at(hostV4, 1), []byte("x")),
		testutil.UDP(at(farV4, 9), at(hostV4, 2), []byte("x")),
		testutil.UDP(at(farV6, 9), at(hostV6, 2), []byte("x")),
		testutil.UDP(at(farV6, 9), at(hostV6, 3), []byte("socket")),
		testutil.UDP(at(farV6, 9), at(hostV6, 1), []byte("x")),                       // unreachable
		testutil.UDP(at(farV4, 9), at(hostV4, 4), []byte("x")),                       // unreachable
		testutil.UDP(at(farV4, 9), at(netip.MustParseAddr("10.1.0.8"), 2), []byte{}), // not here
		testutil.UDP(at(hostV4, 9), at(hostV4, 2), []byte("x")),                      // forged
		testutil.UDP(at(netip.MustParseAddr("127.0.0.1"), 9), at(hostV4, 2), nil),
		testutil.UDP(at(netip.MustParseAddr("224.0.0.1"), 9), at(hostV4, 2), nil),
	}
	if n, err := d.Write(packets, 0); n != len(packets) || err != nil {
		t.Fatal(n, err)
	}
	if got["exact"] != 1 || got["any"] != 2 {
		t.Errorf("got %v", got)
	}
	buf := make([]byte, 10)
	if n, _, err := pc.ReadFrom(buf); string(buf[:n]) != "socket" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
	s := d.Stats()
	if s.UDP.DropsSource != 3 || s.Queues[0].Depth != 2 || s.Inbound.Delivered != 4 {
		t.Errorf("stats %+v", s)
	}
}

// TestUDPPortFromHost checks datagrams that do not leave the host: to ports and
// sockets, of SendDatagrams and of a socket.
func TestUDPPortFromHost(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, &netstack.Options{Queues: 1})
	for _, host := range []netip.Addr{hostV4, hostV6} {
		got := make(chan string, 200)
		p := openUDPPort(t, d.Net(), netip.AddrPortFrom(host, 5).String(), func(g *netstack.Datagrams) {
			for _, b := range g.Payloads {
				got <- fmt.Sprint(g.Source, string(b))
			}
		})
		pc := listenUDP(t, d.Net(), "udp", netip.AddrPortFrom(host, 6).String())
		payloads := make([][]byte, 150)
		for i := range payloads {
			payloads[i] = fmt.Append(nil, i)
		}
		for _, src := range []netip.Addr{host, map[bool]netip.Addr{true: farV4, false: farV6}[host.Is4()]} {
			from := netip.AddrPortFrom(src, 7)
			g := &netstack.Datagrams{Source: from, Destination: p.LocalAddr(), Payloads: payloads}
			if n, err := d.Net().SendDatagrams(g); n != 150 || err != nil {
				t.Fatal(n, err)
			}
			for i := range payloads {
				if s := <-got; s != fmt.Sprintf("%v%d", from, i) {
					t.Fatalf("datagram %d: %q", i, s)
				}
			}
			g.Destination = netip.AddrPortFrom(host, 6)
			if n, err := d.Net().SendDatagrams(g); n != 150 || err != nil {
				t.Fatal(n, err)
			}
			buf := make([]byte, 10)
			for i := range payloads {
				n, a, err := pc.ReadFrom(buf)
				if string(buf[:n]) != fmt.Sprint(i) || a.String() != from.String() || err != nil {
					t.Fatalf("datagram %d: %q from %v, %v", i, buf[:n], a, err)
				}
			}
		}
		if _, err := pc.WriteTo(bytes.Repeat([]byte("y"), 3000), net.UDPAddrFromAddrPort(p.LocalAddr())); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != fmt.Sprint(netip.AddrPortFrom(host, 6), string(bytes.Repeat([]byte("y"), 3000))) {
			t.Errorf("from a socket: %.60q", s)
		}
		if n, err := d.Net().SendDatagrams(&netstack.Datagrams{Source: netip.AddrPortFrom(host, 5), Destination: netip.AddrPortFrom(host, 99), Payloads: payloads[:1]}); n != 1 || err != nil {
			t.Errorf("to nobody: %d, %v", n, err)
		}
	}
	if s := d.Stats(); s.Queues[0].Depth != 0 || s.UDP.Sent != 0 || s.UDP.Looped != 2*(4*150+1) || d.RawOut() != 0 {
		t.Errorf("stats %+v, %d buffers out", s, d.RawOut())
	}
}

// TestUDPPortClose checks that Close waits for a running call, that no call
// begins afterwards, and that it does not wait for the call it is made from.
func TestUDPPortClose(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, nil)
	packet := [][]byte{testutil.UDP(netip.AddrPortFrom(farV4, 9), netip.AddrPortFrom(hostV4, 1), []byte("x"))}
	entered, leave := make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	p := openUDPPort(t, d.Net(), "[::]:1", func(*netstack.Datagrams) {
		close(entered)
		<-leave
		ended.Store(true)
	})
	var wrote sync.WaitGroup
	wrote.Go(func() { d.Write(packet, 0) })
	<-entered
	closed := make(chan struct{})
	go func() {
		p.Close()
		if !ended.Load() {
			t.Error("Close returned while receive was running")
		}
		close(closed)
	}()
	for d.Stats().UDP.Ports != 0 {
		runtime.Gosched()
	}
	d.Write(packet, 0) // a second call would panic
	close(leave)
	<-closed
	wrote.Wait()

	calls := 0
	var other *netstack.UDPPort
	p = openUDPPort(t, d.Net(), "[::]:1", func(*netstack.Datagrams) {
		calls++
		func() { p.Close() }() // neither waits
		other.Close()
	})
	other = openUDPPort(t, d.Net(), "[::]:2", func(*netstack.Datagrams) {})
	d.Write(packet, 0)
	d.Write(packet, 0)
	if calls != 1 || d.Stats().UDP.Ports != 0 {
		t.Errorf("%d calls, want 1; stats %+v", calls, d.Stats().UDP)
	}
	p.Close()
}

// TestUDPPortOpenClose opens and closes ports a thousand times while packets
// arrive for them.
func TestUDPPortOpenClose(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, &netstack.Options{Queues: 1})
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			var bufs [][]byte
			for i := range 64 {
				bufs = append(bufs, testutil.UDP(netip.AddrPortFrom(farV4, uint16(i%3+1)), netip.AddrPortFrom(hostV4, uint16(i%5+1)), []byte("x")))
			}
			for {
				select {
				case <-stop:
					return
				default:
					d.Write(bufs, 0)
				}
			}
		})
	}
	var seen atomic.Int64
	for i := range 1000 {
		var closed atomic.Bool
		p := openUDPPort(t, d.Net(), fmt.Sprintf("10.1.0.1:%d", i%5+1), func(g *netstack.Datagrams) {
			if closed.Load() {
				t.Error("called after Close")
			}
			seen.Add(int64(len(g.Payloads)))
		})
		for before := seen.Load(); i%50 == 0 && seen.Load() == before; {
			runtime.Gosched()
		}
		p.Close()
		closed.Store(true)
	}
	close(stop)
	writers.Wait()
	if s := d.Stats().UDP; s.Ports != 0 || s.PortDatagrams != uint64(seen.Load()) {
		t.Errorf("stats %+v, seen %d", s, seen.Load())
	}
}

// TestUDPPortNoAllocs covers Write of several flows to their handler.
func TestUDPPortNoAllocs(t *testing.T) {
	d := newDevice(t, nil)
	n := 0
	openUDPPort(t, d.Net(), "[::]:1", func(g *netstack.Datagrams) { n += len(g.Payloads) })
	if err := d.Net().SetTransit(&netstack.Transit{UDP: func(g *netstack.Datagrams) bool {
		n += len(g.Payloads)
		return true
	}, Echo: func(*netstack.Echo) bool { n++; return true }}); err != nil {
		t.Fatal(err)
	}
	var bufs [][]byte
	for i := range 120 {
		to := []netip.Addr{hostV4, hostV6, netip.MustParseAddr("8.8.8.8")}[i%3]
		from := map[bool]netip.Addr{true: farV4, false: farV6}[to.Is4()]
		bufs = append(bufs, testutil.UDP(netip.AddrPortFrom(from, uint16(i%8+1)), netip.AddrPortFrom(to, 1), pattern(1000)))
	}
	bufs = append(bufs, testutil.Echo(farV4, netip.MustParseAddr("8.8.8.8"), 1, 1, nil))
	if a := testing.AllocsPerRun(100, func() { d.Write(bufs, 0) }); a != 0 && !raceEnabled {
		t.Errorf("%v allocations a Write", a)
	}
	if n != 101*len(bufs) {
		t.Errorf("handlers got %d, want %d", n, 101*len(bufs))
	}
}

// TestUDPPortsOfTwo sends through the whole way, and back by another goroutine.
func TestUDPPortsOfTwo(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	const datagrams = 5000
	back := make(chan []byte, 128)
	answers := make(chan uint32, datagrams)
	to := openUDPPort(t, b.Net(), netip.AddrPortFrom(netstacktest.B6, 5).String(), func(g *netstack.Datagrams) {
		for _, p := range g.Payloads {
			back <- bytes.Clone(p)
		}
	})
	from := openUDPPort(t, a.Net(), netip.AddrPortFrom(netstacktest.A6, 6).String(), func(g *netstack.Datagrams) {
		for _, p := range g.Payloads {
			answers <- uint32(p[0])<<16 | uint32(p[1])<<8 | uint32(p[2])
		}
	})
	var senders sync.WaitGroup
	senders.Go(func() {
		for range datagrams {
			b.Net().SendDatagrams(&netstack.Datagrams{Source: to.LocalAddr(), Destination: from.LocalAddr(), Payloads: [][]byte{<-back}})
		}
	})
	senders.Go(func() {
		for i := 0; i < datagrams; i += 50 {
			payloads := sizes(50, 1200, 1200)
			for j, p := range payloads {
				p[0], p[1], p[2] = byte((i+j)>>16), byte((i+j)>>8), byte(i+j)
			}
			if n, err := a.Net().SendDatagrams(&netstack.Datagrams{Source: from.LocalAddr(), Destination: to.LocalAddr(), Payloads: payloads}); n != 50 || err != nil {
				t.Error(n, err)
			}
		}
	})
	for i := range uint32(datagrams) {
		if got := <-answers; got != i {
			t.Fatalf("answer %d, want %d", got, i)
		}
	}
	senders.Wait()
}
