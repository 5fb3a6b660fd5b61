// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

func socksUDPServer(t *testing.T, n *netstack.Net, listen string) *SOCKS5 {
	t.Helper()
	s, err := ListenSOCKS5(n, &SOCKS5Options{Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	return s
}

// An associated is a client of UDP ASSOCIATE: what it writes goes to one target,
// what it reads must be from there.
type associated struct {
	*net.UDPConn
	control net.Conn
	relay   netip.AddrPort
	target  socksTarget
	from    netip.AddrPort
}

// associateWith asks s for a relay, naming port as the one it sends from.
func associateWith(t *testing.T, s *SOCKS5, port uint16) (control net.Conn, relay netip.AddrPort) {
	t.Helper()
	control, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close() })
	control.SetDeadline(time.Now().Add(testTimeout))
	control.Write([]byte{socksVersion, 1, socksNoAuth})
	control.Write(socksRequest{command: socksAssociate, target: socksTarget{addr: netip.IPv4Unspecified(), port: port}}.appendTo(nil))
	r := bufio.NewReader(control)
	var head [2 + 3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatal(err)
	}
	bound, err := readSocksTarget(r)
	if err != nil || head[3] != socksSucceeded {
		t.Fatalf("reply %x, %v", head, err)
	}
	relay = netip.AddrPortFrom(bound.addr, bound.port)
	if want := addrPortOf(control.RemoteAddr()).Addr(); relay.Addr() != want || relay.Port() == 0 {
		t.Errorf("the relay is at %v, want a port of %v", relay, want)
	}
	return control, relay
}

func dialRelay(t *testing.T, from string, relay netip.AddrPort) *net.UDPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	c, err := d.Dial("udp", relay.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(testTimeout))
	return c.(*net.UDPConn)
}

func (a *associated) Write(b []byte) (int, error) {
	_, err := a.UDPConn.Write(append(appendSocksUDPHeader(nil, a.target), b...))
	return len(b), err
}

func (a *associated) Read(b []byte) (int, error) {
	n, err := a.UDPConn.Read(b)
	if err != nil {
		return 0, err
	}
	var d socksDatagram
	if err := d.parse(b[:n]); err != nil {
		return 0, err
	}
	if from := netip.AddrPortFrom(d.addr, d.port); from != a.from || d.fragment != 0 {
		return 0, fmt.Errorf("from %v, want %v", from, a.from)
	}
	return copy(b, d.data), nil
}

// TestSOCKSUDP: datagrams of any size get there and back, in order, to addresses
// of both families and to names.
func TestSOCKSUDP(t *testing.T) {
	for _, tc := range []struct{ listen, from, target string }{
		{"127.0.0.1:0", "127.0.0.1:0", "10.99.0.2:7"},
		{"127.0.0.1:0", "127.0.0.1:0", "[fd99::2]:7"},
		{"[::1]:0", "[::1]:0", "10.99.0.2:7"},
	} {
		t.Run(tc.listen+" "+tc.target, func(t *testing.T) {
			near, far := udpNets(t)
			target := tunnelEcho(t, far, tc.target)
			s := socksUDPServer(t, near, tc.listen)
			const clients = 3
			exchangeMany(t, clients, func() (net.Conn, error) {
				control, relay := associateWith(t, s, 0)
				return &associated{dialRelay(t, tc.from, relay), control, relay, socksTarget{addr: target.Addr(), port: target.Port()}, target}, nil
			})
			wantCounted(t, s, clients)
		})
	}
}

// TestSOCKSUDPDestinations: one client sends to several targets at a time, from
// one port in the tunnel for each family.
func TestSOCKSUDPDestinations(t *testing.T) {
	near, far := udpNets(t)
	s := socksUDPServer(t, near, "127.0.0.1:0")
	_, relay := associateWith(t, s, 0)
	c := dialRelay(t, "127.0.0.1:0", relay)
	sources := make(map[netip.AddrPort]bool)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, address := range []string{"10.99.0.2:7", "10.99.0.2:8", "[fd99::2]:7"} {
		p, err := far.ListenPacket("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		p.SetDeadline(time.Now().Add(testTimeout))
		wg.Go(func() {
			defer p.Close()
			b := make([]byte, 100)
			for range 3 {
				n, from, err := p.ReadFrom(b)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				sources[addrPortOf(from)] = true
				mu.Unlock()
				p.WriteTo(append([]byte(address), b[:n]...), from)
			}
		})
	}
	want := make(map[string]int)
	for i := range 3 {
		for _, address := range []string{"10.99.0.2:7", "10.99.0.2:8", "[fd99::2]:7"} {
			to := netip.MustParseAddrPort(address)
			c.Write(append(appendSocksUDPHeader(nil, socksTarget{addr: to.Addr(), port: to.Port()}), byte('0'+i)))
			want[fmt.Sprintf("%s%d from %s", address, i, address)]++
		}
	}
	b := make([]byte, 200)
	for range 9 {
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		var d socksDatagram
		if err := d.parse(b[:n]); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%s from %s", d.data, netip.AddrPortFrom(d.addr, d.port))
		if want[got]--; want[got] < 0 {
			t.Errorf("got %q too often", got)
		}
	}
	wg.Wait()
	if len(sources) != 2 {
		t.Errorf("sent from %v, want one port of each family", sources)
	}
}

// TestSOCKSUDPStrangers: the relay takes datagrams from its client only, and the
// client gets them from those only whom it sent to.
func TestSOCKSUDPStrangers(t *testing.T) {
	near, far := udpNets(t)
	target := tunnelEcho(t, far, "10.99.0.2:7")
	to := appendSocksUDPHeader(nil, socksTarget{addr: target.Addr(), port: target.Port()})
	s := socksUDPServer(t, near, "127.0.0.1:0")
	foreign := func(n uint64) {
		t.Helper()
		eventually(t, "datagrams of strangers", func() error {
			if got := s.Stats().Drops.Foreign; got != n {
				return fmt.Errorf("%d, want %d", got, n)
			}
			return nil
		})
	}
	_, relay := associateWith(t, s, 0)
	dialRelay(t, "127.0.0.2:0", relay).Write(append(to, "from another address"...))
	foreign(1)
	c := dialRelay(t, "127.0.0.1:0", relay)
	c.Write(append(to, "mine"...))
	b := make([]byte, 100)
	if n, err := c.Read(b); err != nil || string(b[len(to):n]) != "mine" {
		t.Fatalf("got %q, %v", b[:n], err)
	}
	dialRelay(t, "127.0.0.1:0", relay).Write(append(to, "from another port"...))
	foreign(2)

	// Who said the port is held to it.
	port := addrPortOf(c.LocalAddr()).Port()
	_, relay2 := associateWith(t, s, port)
	dialRelay(t, "127.0.0.1:0", relay2).Write(append(to, "not that port"...))
	foreign(3)

	// An answer from an address that nothing was sent to.
	peer, err := far.ListenPacket("udp", "10.99.0.2:8")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	peer.SetDeadline(time.Now().Add(testTimeout))
	c.Write(append(appendSocksUDPHeader(nil, socksTarget{addr: target.Addr(), port: 8}), "question"...))
	_, from, err := peer.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	answer := netstack.Datagrams{
		Source: netip.MustParseAddrPort("10.99.0.9:8"), Destination: addrPortOf(from), Payloads: [][]byte{[]byte("forged")},
	}
	if _, err := far.SendDatagrams(&answer); err != nil {
		t.Fatal(err)
	}
	foreign(4)
	answer.Source, answer.Payloads = netip.MustParseAddrPort("10.99.0.2:9"), [][]byte{[]byte("from another port")}
	if _, err := far.SendDatagrams(&answer); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(b); err != nil || string(b[len(to):n]) != "from another port" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	if got := s.Stats().DatagramsOut; got != 2 {
		t.Errorf("%d datagrams sent into the tunnel, want 2", got)
	}
}

// TestSOCKSUDPBad: what is no datagram of SOCKS, and fragments, are counted.
func TestSOCKSUDPBad(t *testing.T) {
	near, far := udpNets(t)
	target := tunnelEcho(t, far, "10.99.0.2:7")
	to := appendSocksUDPHeader(nil, socksTarget{addr: target.Addr(), port: target.Port()})
	s := socksUDPServer(t, near, "127.0.0.1:0")
	_, relay := associateWith(t, s, 0)
	c := dialRelay(t, "127.0.0.1:0", relay)
	c.Write(nil)
	c.Write([]byte("\x00\x00\x00\x09"))
	c.Write(append([]byte{0, 0, 1}, to[3:]...))
	c.Write(appendSocksUDPHeader(nil, socksTarget{addr: netip.MustParseAddr("10.99.0.2")})) // port 0
	c.Write(append(to, "good"...))
	b := make([]byte, 100)
	if n, err := c.Read(b); err != nil || string(b[len(to):n]) != "good" {
		t.Fatalf("got %q, %v", b[:n], err)
	}
	d := s.Stats().Drops
	if want := (DatagramDrops{Malformed: 2, Fragment: 1, Send: 1}); d != want {
		t.Errorf("drops %+v, want %+v", d, want)
	}
}

// TestSOCKSUDPNames: datagrams to a name wait for its address, in order and not
// too many.
func TestSOCKSUDPNames(t *testing.T) {
	near, far := udpNets(t)
	target := tunnelEcho(t, far, "10.99.0.2:7")
	host := newUDPHost()
	socket, err := host.listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	var count counters
	answer := make(chan []netip.Addr)
	var asked sync.Map
	a := &association{net: near, count: &count, socket: socket, client: netip.MustParseAddr("127.0.0.1")}
	a.names.init(func(_ context.Context, name string) ([]netip.Addr, error) {
		asked.Store(name, true)
		if addrs := <-answer; addrs != nil {
			return addrs, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}, a)
	a.wg.Go(func() { a.read(t.Context()) })
	defer a.close()
	c := dialRelay(t, "127.0.0.1:0", socket.local)
	to := appendSocksUDPHeader(nil, socksTarget{name: "echo.test", port: target.Port()})
	for i := range maxPending + 2 {
		c.Write(append(to, byte(i)))
	}
	eventually(t, "datagrams that find no room", func() error {
		if n := count.dropFull.Load(); n != 2 {
			return fmt.Errorf("%d dropped", n)
		}
		return nil
	})
	answer <- []netip.Addr{netip.MustParseAddr("10.99.0.2")}
	client := &associated{UDPConn: c, target: socksTarget{name: "echo.test", port: target.Port()}, from: target}
	b := make([]byte, 100)
	for i := range maxPending {
		if n, err := client.Read(b); err != nil || n != 1 || b[0] != byte(i) {
			t.Fatalf("answer %d: %v, %v", i, b[:n], err)
		}
	}
	if err := exchange(client, 1, new(sync.Mutex)); err != nil { // the name is known
		t.Error(err)
	}
	literal := &associated{UDPConn: c, target: socksTarget{name: "10.99.0.2", port: target.Port()}, from: target}
	if err := exchange(literal, 2, new(sync.Mutex)); err != nil {
		t.Error(err)
	}
	c.Write(append(appendSocksUDPHeader(nil, socksTarget{name: "nobody.test", port: 7}), "lost"...))
	answer <- nil
	eventually(t, "a name that is not found", func() error {
		if n := count.dropResolve.Load(); n != 1 {
			return fmt.Errorf("%d dropped", n)
		}
		return nil
	})
	if _, ok := asked.Load("10.99.0.2"); ok {
		t.Error("asked for an address")
	}
}

// TestSOCKSUDPEnd: the relay ends with the control connection.
func TestSOCKSUDPEnd(t *testing.T) {
	near, far := udpNets(t)
	target := tunnelEcho(t, far, "10.99.0.2:7")
	s := socksUDPServer(t, near, "127.0.0.1:0")
	before := openFiles()
	for range 3 {
		control, relay := associateWith(t, s, 0)
		c := &associated{dialRelay(t, "127.0.0.1:0", relay), control, relay, socksTarget{addr: target.Addr(), port: target.Port()}, target}
		if err := exchange(c, 1, new(sync.Mutex)); err != nil {
			t.Fatal(err)
		}
		control.Close()
		c.Close()
	}
	eventually(t, "the relays end", func() error {
		if n := openFiles(); n > before {
			return fmt.Errorf("%d open files, %d before", n, before)
		}
		if st := s.Stats(); st.Active != 0 {
			return fmt.Errorf("%d active", st.Active)
		}
		return nil
	})
}

func TestAddressMemory(t *testing.T) {
	var m addressMemory
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	if m.has(addr(0)) {
		t.Error("an address that was not added")
	}
	for i := range 10 * addressMemorySize {
		m.add(addr(i))
		for _, j := range []int{i, max(0, i-addressMemorySize+1)} {
			if !m.has(addr(j)) {
				t.Fatalf("%d is forgotten after %d", j, i)
			}
		}
	}
	if n := len(m.young) + len(m.old); n > 2*addressMemorySize {
		t.Errorf("%d addresses, want %d at most", n, 2*addressMemorySize)
	}
}
