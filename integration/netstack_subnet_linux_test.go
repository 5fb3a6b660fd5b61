// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

const subnetRouter = "[Router]\nSubnetRouter = on\n"

// TestSubnetRouter reaches host c from host b through a router without privileges:
// c sees connections of the router's host.
func TestSubnetRouter(t *testing.T) {
	l := newNetstackLab(t, lab.ForkName)
	t.Parallel()
	l.start(t, subnetRouter)
	for _, dst := range []netip.Addr{inside4, inside6} {
		t.Run(dst.String(), func(t *testing.T) {
			if r := must(traffic.TCP(l.b, l.c, dst, 10<<20))(t); r.Received < 20<<20 {
				t.Errorf("TCP: %d bytes both ways", r.Received)
			}
			for _, size := range []int{8, 1200, 3000} {
				// Slowly: a sender that is late sends many at once, and the interface of
				// b queues 500 packets.
				if r := must(traffic.UDP(l.b, l.c, dst, 200, size, 200))(t); r.Lost+r.Duplicated+r.Corrupt != 0 {
					t.Errorf("UDP of %d bytes: %s", size, r)
				}
			}
			echoUDP(t, l.c, netip.AddrPortFrom(dst, echoPort))
			if got, err := askUDP(l.b, netip.AddrPortFrom(dst, echoPort).String(), content(3000, 1)); err != nil || string(got) != string(content(3000, 1)) {
				t.Errorf("UDP answer: %d bytes, %v", len(got), err)
			}
			for _, size := range []int{0, 56, 1372, 3000} {
				if n := must(traffic.Ping(l.b, dst, 5, size))(t); n != 5 {
					t.Errorf("%d of 5 pings of %d bytes answered", n, size)
				}
			}
			closed := netip.AddrPortFrom(dst, 1).String()
			if _, err := dialIn(l.b, "tcp", closed); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("TCP to a closed port: %v", err)
			}
			if _, err := askUDP(l.b, closed, []byte("nobody listens")); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("UDP to a closed port: %v", err)
			}
			wantSource(t, l, dst)
		})
	}
}

// wantSource checks that c gets a connection of the router's host.
func wantSource(t *testing.T, l *netstackLab, dst netip.Addr) {
	t.Helper()
	sources := make(chan net.Addr, 1)
	at := netip.AddrPortFrom(dst, 7100)
	serve(t, l.c, at, func(c *net.TCPConn) { sources <- c.RemoteAddr() })
	c := must(dialIn(l.b, "tcp", at.String()))(t)
	defer c.Close()
	want := insideA4
	if dst.Is6() {
		want = netip.MustParseAddr("fd99::1")
	}
	if got := (<-sources).(*net.TCPAddr).AddrPort().Addr(); got != want {
		t.Errorf("c saw a connection of %s, want %s", got, want)
	}
}

// TestSubnetRouterPrefixes reaches what the list names, and nothing beside it.
func TestSubnetRouterPrefixes(t *testing.T) {
	l := newNetstackLab(t, lab.ForkName)
	t.Parallel()
	l.c.AddAddress("eth0", "10.99.0.3/24")
	l.start(t, "[Router]\nSubnetRouter = 10.99.0.2/32\n")
	echoUDP(t, l.c, netip.AddrPortFrom(netip.IPv4Unspecified(), echoPort))
	serve(t, l.c, netip.AddrPortFrom(netip.IPv4Unspecified(), 7100), speakFirst)
	if err := connectAndRead(l.b, "10.99.0.2:7100"); err != nil {
		t.Errorf("TCP to an address of the list: %v", err)
	}
	if err := connectAndRead(l.b, "10.99.0.3:7100"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("TCP to another address: %v", err)
	}
	if _, err := askUDP(l.b, "10.99.0.3:7007", []byte("x")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("UDP to another address: %v", err)
	}
}

// forbidden are addresses of the router's host, or near it, that peers must not
// reach unless the configuration says so.
var forbidden = []string{
	"127.0.0.1", "127.0.0.2", "169.254.169.254", "::1", "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1", "0.0.0.0", "192.0.2.1", "2001:db8:a::1", "fd99::1",
}

// TestSubnetRouterForbidden sends packets for the host's own addresses and for
// what clouds serve metadata at. The host listens at all of them.
func TestSubnetRouterForbidden(t *testing.T) {
	n := newNetstackLab(t, lab.ForkName)
	t.Parallel()
	s := must(traffic.NewSpeaker(n.b, lab.B4))(t)
	defer s.Close()
	source4, source6 := netip.MustParseAddr("10.66.0.1"), netip.MustParseAddr("fd66::1")
	n.options.Peers = append(n.options.Peers, s.Peer("10.66.0.0/16", "fd66::/64"))
	for _, a := range []string{"169.254.169.254/32", "fd00:ec2::254/128"} {
		n.a.AddAddress("lo", a)
	}
	var reached atomic.Int64
	const port = 7200
	count := func(c *net.TCPConn) { reached.Add(1) }
	serve(t, n.a, netip.AddrPortFrom(netip.IPv6Unspecified(), port), count) // both families
	answerUDP(t, n.a, netip.AddrPortFrom(netip.IPv6Unspecified(), port), func(b []byte) []byte { reached.Add(1); return b })
	n.start(t, fmt.Sprintf("[Router]\nSubnetRouter = on, %s/32\n", insideA4))
	if err := s.Connect(n.options.PrivateKey.Public(), outerPort(lab.A4)); err != nil {
		t.Fatal(err)
	}
	for i, text := range forbidden {
		dst, src := netip.AddrPortFrom(netip.MustParseAddr(text), port), netip.AddrPortFrom(source4, uint16(10_000+i))
		if dst.Addr().Is6() {
			src = netip.AddrPortFrom(source6, src.Port())
		}
		for _, p := range []traffic.Packet{
			{Protocol: syscall.IPPROTO_TCP, Payload: traffic.TCPBytes(src, dst, traffic.SYN, 1, 0, nil)},
			{Protocol: syscall.IPPROTO_UDP, Payload: traffic.UDPBytes(src, dst, []byte("hello"))},
		} {
			p.Src, p.Dst = src.Addr(), dst.Addr()
			if err := s.Send(p.Bytes()); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Behind them in order: a connection to the one address of the host that the
	// configuration allows, to the same port.
	wantAnswer(t, s, netip.AddrPortFrom(source4, 20_000), netip.AddrPortFrom(insideA4, port))
	lab.Wait(t, lab.Patience, "the allowed connection", func() error {
		if reached.Load() == 0 {
			return errors.New("not there")
		}
		return nil
	})
	if n := reached.Load(); n != 1 {
		t.Errorf("the host's listeners were reached %d times, want once", n)
	}
}

// wantAnswer asks for a connection until the other end agrees.
func wantAnswer(t *testing.T, s *traffic.Speaker, src, dst netip.AddrPort) {
	t.Helper()
	syn := traffic.Packet{Src: src.Addr(), Dst: dst.Addr(), Protocol: syscall.IPPROTO_TCP, Payload: traffic.TCPBytes(src, dst, traffic.SYN, 1, 0, nil)}
	if err := s.Send(syn.Bytes()); err != nil {
		t.Fatal(err)
	}
	_, err := s.ReceiveUntil(func(b []byte) bool {
		return len(b) >= 40 && b[0]>>4 == 4 && b[9] == syscall.IPPROTO_TCP && b[33]&(traffic.SYN|traffic.ACK) == traffic.SYN|traffic.ACK &&
			int(b[22])<<8|int(b[23]) == int(src.Port())
	})
	if err != nil {
		t.Errorf("no answer from %s: %v", dst, err)
	}
}

// growth is how much more memory the router may have after a flood.
const growth = 192 << 20

// TestSubnetRouterFlood sends 100,000 requests for connections that are never
// finished, and datagrams to 30,000 ports. What the router holds stays within
// bounds, and other connections work meanwhile and afterwards.
func TestSubnetRouterFlood(t *testing.T) {
	n := newNetstackLab(t, lab.ForkName)
	s := must(traffic.NewSpeaker(n.b, lab.B4))(t)
	defer s.Close()
	n.options.Peers = append(n.options.Peers, s.Peer("10.66.0.0/16"))
	at := netip.AddrPortFrom(inside4, 7001)
	traffic.Answerer(t, n.c, at)
	echoUDP(t, n.c, netip.AddrPortFrom(inside4, echoPort))
	p := n.start(t, subnetRouter)
	if err := s.Connect(n.options.PrivateKey.Public(), outerPort(lab.A4)); err != nil {
		t.Fatal(err)
	}
	traffic.WaitExchange(t, n.b, at)
	before := must(p.Holdings())(t)
	source := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 66, byte(i >> 14), byte(i >> 6)}), uint16(1024+i&63))
	}
	for _, flood := range []struct {
		name   string
		n      int
		packet func(i int) traffic.Packet
	}{{"half-open connections", 100_000, func(i int) traffic.Packet {
		return traffic.Packet{Protocol: syscall.IPPROTO_TCP, Payload: traffic.TCPBytes(source(i), at, traffic.SYN, 1, 0, nil)}
	}}, {"datagrams to many ports", 30_000, func(i int) traffic.Packet {
		return traffic.Packet{Protocol: syscall.IPPROTO_UDP, Payload: traffic.UDPBytes(source(i), netip.AddrPortFrom(inside4, uint16(20_000+i)), []byte("x"))}
	}}, {"datagrams that are answered", 30_000, func(i int) traffic.Packet {
		return traffic.Packet{Protocol: syscall.IPPROTO_UDP, Payload: traffic.UDPBytes(source(i), netip.AddrPortFrom(inside4, echoPort), []byte("x"))}
	}}} {
		var most lab.Holdings
		worked := 0
		for i := range flood.n {
			packet := flood.packet(i)
			packet.Src, packet.Dst = source(i).Addr(), inside4
			if err := s.Send(packet.Bytes()); err != nil {
				t.Fatal(err)
			}
			if i%(flood.n/10) == 0 {
				now := must(p.Holdings())(t)
				most.Memory, most.Files = max(most.Memory, now.Memory), max(most.Files, now.Files)
				if e := must(traffic.Churn(n.b, at, 20, 200*time.Millisecond))(t); e.Done > 0 {
					worked++
				}
			}
		}
		t.Logf("%s: at most %d MiB and %d descriptors, before %d MiB and %d; another connection worked %d of 10 times meanwhile",
			flood.name, most.Memory>>20, most.Files, before.Memory>>20, before.Files, worked)
		if most.Memory > before.Memory+growth {
			t.Errorf("%s: %d MiB, %d before", flood.name, most.Memory>>20, before.Memory>>20)
		}
		if worked == 0 {
			t.Errorf("%s: no other connection worked meanwhile", flood.name)
		}
		traffic.WaitExchange(t, n.b, at)
		if n, err := traffic.Ping(n.b, inside4, 3, 56); err != nil || n == 0 {
			t.Errorf("%s: afterwards %d of 3 pings are answered, %v", flood.name, n, err)
		}
		if _, err := askUDP(n.b, fmt.Sprintf("%s:%d", inside4, echoPort), []byte("x")); err != nil {
			t.Errorf("%s: afterwards a datagram: %v", flood.name, err)
		}
	}
}
