// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// Addresses beyond the device of a test, which it answers for in transit.
var beyondV4, beyondV6 = netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")

func useTransit(tb testing.TB, d *netstack.Device, t *netstack.Transit) {
	tb.Helper()
	if err := d.Net().SetTransit(t); err != nil {
		tb.Fatal(err)
	}
}

// readOne reads one Read's packets.
func readOne(tb testing.TB, d *netstack.Device) (packets [][]byte) {
	tb.Helper()
	slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, netstack.BatchSize)
	n, err := d.Read(slab, pkts)
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range pkts[:n] {
		packets = append(packets, slab[p.Offset:p.Offset+p.Size])
	}
	return packets
}

// TestTransitUDP checks what a transit gets: datagrams to foreign addresses,
// whole and in fragments, and nothing that is not for it, whatever the host
// itself listens to.
func TestTransitUDP(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	got := make(chan string, 100)
	transit := &netstack.Transit{UDP: func(g *netstack.Datagrams) bool {
		for _, p := range g.Payloads {
			got <- fmt.Sprintf("%v>%v %d", g.Source, g.Destination, len(p))
		}
		return true
	}}
	useTransit(t, b, transit)
	*transit = netstack.Transit{} // a copy was taken
	listenUDP(t, b.Net(), "udp", ":53")
	openUDPPort(t, b.Net(), "[::]:54", func(*netstack.Datagrams) { t.Error("the host's port was called") })

	c, err := a.Net().DialContext(t.Context(), "udp", netip.AddrPortFrom(beyondV6, 53).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, n := range []int{0, 100, 5000} {
		if _, err := c.Write(pattern(n)); err != nil {
			t.Fatal(err)
		}
		if s, want := <-got, fmt.Sprintf("%v>%v %d", c.LocalAddr(), c.RemoteAddr(), n); s != want {
			t.Errorf("got %s, want %s", s, want)
		}
	}
	src := netip.AddrPortFrom(netstacktest.A4, 9)
	dst := netip.AddrPortFrom(beyondV4, 54)
	if _, err := a.Net().SendDatagrams(&netstack.Datagrams{Source: src, Destination: dst, Payloads: [][]byte{pattern(1), pattern(4000), pattern(2)}}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-got
	}
	// The answer is from the foreign address, and a socket takes it.
	b.Net().SendDatagrams(&netstack.Datagrams{
		Source: netip.AddrPortFrom(beyondV6, 53), Destination: c.LocalAddr().(*net.UDPAddr).AddrPort(),
		Payloads: [][]byte{[]byte("answer"), pattern(3000)},
	})
	buf := make([]byte, 4000)
	for _, want := range [][]byte{[]byte("answer"), pattern(3000)} {
		if n, err := c.Read(buf); !bytes.Equal(buf[:n], want) || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}

	from := func(s, d string) []byte {
		return testutil.UDP(netip.MustParseAddrPort(s), netip.MustParseAddrPort(d), []byte("x"))
	}
	before := b.Stats()
	b.Write([][]byte{
		from("10.99.0.2:1", "192.0.2.1:1"),     // the device's own source
		from("127.0.0.1:1", "192.0.2.1:1"),     // sources nobody can answer to
		from("[ff02::1]:1", "[2001:db8::1]:1"), //
		from("[fe80::1]:1", "[2001:db8::1]:1"), //
		from("10.99.0.1:1", "224.0.0.1:1"),     // destinations nobody answers for
		from("10.99.0.1:1", "255.255.255.255:1"),
		from("10.99.0.1:1", "127.0.0.1:1"),
		from("[fd99::1]:1", "[fe80::1]:1"),
	}, 0)
	if s := b.Stats().UDP; s.DropsSource-before.UDP.DropsSource != 4 || len(got) != 0 {
		t.Errorf("stats %+v, before %+v, got %d", s, before.UDP, len(got))
	}
	testutil.Eventually(t, 5*time.Second, "all are counted, which they are after they were handed over", func() error {
		if s := b.Stats().UDP; s.TransitDatagrams != 6 || s.PortDatagrams != 0 || s.DropsRefused != 0 || s.Unreachable != 0 {
			return fmt.Errorf("stats %+v", s)
		}
		return nil
	})

	// Without: as it was.
	useTransit(t, b, nil)
	before = b.Stats()
	if n, err := b.Write([][]byte{from("10.99.0.1:1", "192.0.2.1:1")}, 0); n != 1 || err != nil {
		t.Error(n, err)
	}
	if s := b.Stats(); s.UDP != before.UDP || len(got) != 0 || s.Inbound.DropsAddress != before.Inbound.DropsAddress+1 {
		t.Errorf("stats %+v, before %+v", s.UDP, before.UDP)
	}
	if err := b.Net().SetTransit(&netstack.Transit{MaxHandshakes: -1}); err == nil {
		t.Error("negative MaxHandshakes")
	}
	b.Close()
	if err := b.Net().SetTransit(&netstack.Transit{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetTransit of a closed device: %v", err)
	}
}

// TestTransitUDPRefused checks the answer to datagrams that nobody takes: byte
// by byte, and as a socket sees it.
func TestTransitUDPRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		udp  func(*netstack.Datagrams) bool
	}{{"false", func(*netstack.Datagrams) bool { return false }}, {"nil", nil}} {
		for _, size := range []int{0, 7, 1300, 4000} {
			for _, v6 := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, size %d, v6 %v", tt.name, size, v6), func(t *testing.T) {
					d := newDevice(t, &netstack.Options{Queues: 1, MTU: 9000})
					useTransit(t, d, &netstack.Transit{UDP: tt.udp})
					src, dst, ip := netip.AddrPortFrom(farV4, 5), netip.AddrPortFrom(beyondV4, 53), 20
					if v6 {
						src, dst, ip = netip.AddrPortFrom(farV6, 5), netip.AddrPortFrom(beyondV6, 53), 40
					}
					asked := testutil.UDP(src, dst, pattern(size))
					if !v6 { // as it is rebuilt: no flags
						asked[6], asked[10], asked[11] = 0, 0, 0
						fixIP(asked, 20)
					}
					d.Write([][]byte{asked, testutil.UDP(src, dst, nil)}, 0)
					packets := readOne(t, d)
					if len(packets) != 1 {
						t.Fatalf("%d answers to one flow", len(packets))
					}
					b := packets[0]
					if !testutil.ChecksumsOK(b) || len(b) > 1280 {
						t.Fatalf("%d bytes: % x", len(b), b)
					}
					var head, quoted []byte
					if v6 {
						head, quoted = []byte{1, 4}, asked[:min(len(asked), 1280-48)]
						if !bytes.Equal(b[8:24], asked[24:40]) || !bytes.Equal(b[24:40], asked[8:24]) {
							t.Errorf("addresses % x", b[8:40])
						}
					} else {
						head, quoted = []byte{3, 3}, asked[:28]
						if !bytes.Equal(b[12:16], asked[16:20]) || !bytes.Equal(b[16:20], asked[12:16]) {
							t.Errorf("addresses % x", b[12:20])
						}
					}
					if got := b[ip:]; !bytes.Equal(got[:2], head) || !bytes.Equal(got[4:8], make([]byte, 4)) || !bytes.Equal(got[8:], quoted) {
						t.Errorf("message\n% x, want\n% x", got[8:], quoted)
					}
					if s := d.Stats().UDP; s.DropsRefused != 2 || s.Unreachable != 1 || s.UnreachableLimited != 0 || d.RawOut() != 0 {
						t.Errorf("stats %+v", s)
					}
				})
			}
		}
	}
}

func TestSendUnreachable(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	refuse := make(chan *netstack.Datagrams, 1)
	useTransit(t, b, &netstack.Transit{UDP: func(g *netstack.Datagrams) bool {
		refuse <- &netstack.Datagrams{Source: g.Source, Destination: g.Destination}
		return true
	}})
	for _, to := range []netip.Addr{beyondV4, beyondV6} {
		c, err := a.Net().DialContext(t.Context(), "udp", netip.AddrPortFrom(to, 53).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := b.Net().SendUnreachable(<-refuse); err != nil {
			t.Fatal(err)
		}
		_, err = c.Read(make([]byte, 1))
		wantOpError(t, err, "read", syscall.ECONNREFUSED)
	}
	g := &netstack.Datagrams{Source: netip.AddrPortFrom(netstacktest.B4, 1), Destination: netip.AddrPortFrom(beyondV4, 1)}
	if err := b.Net().SendUnreachable(g); err == nil {
		t.Error("sent to the device itself")
	}
	if err := b.Net().SendUnreachable(&netstack.Datagrams{}); err == nil {
		t.Error("sent to nobody")
	}
	b.Close()
	err := b.Net().SendUnreachable(g)
	wantOpError(t, err, "write", net.ErrClosed)
}

// TestTransitFlood writes 100,000 datagrams from random ports to random ports of
// a device that nobody reads from: answers are limited, rings and memory too.
func TestTransitFlood(t *testing.T) {
	testutil.LeakCheck(t)
	total := 100_000
	if raceEnabled {
		total /= 10
	}
	var transit = &netstack.Transit{UDP: func(*netstack.Datagrams) bool { return false }}
	for _, tt := range []struct {
		name    string
		to      netip.Addr
		transit *netstack.Transit
	}{
		{"own address", hostV4, nil},
		{"own address with transit", hostV4, transit},
		{"foreign address", beyondV4, nil},
		{"foreign address with transit", beyondV4, transit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDevice(t, &netstack.Options{Queues: 1})
			openUDPPort(t, d.Net(), "[::]:1", func(*netstack.Datagrams) {})
			useTransit(t, d, tt.transit)
			heap := func() uint64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			before := heap()
			rnd := rand.New(rand.NewPCG(1, 2))
			var bufs [][]byte
			for range total / 100 {
				bufs = bufs[:0]
				for range 100 {
					src := netip.AddrPortFrom(farV4, uint16(rnd.Uint32()|1))
					bufs = append(bufs, testutil.UDP(src, netip.AddrPortFrom(tt.to, uint16(rnd.Uint32()|2)), []byte("flood")))
				}
				if n, err := d.Write(bufs, 0); n != 100 || err != nil {
					t.Fatal(n, err)
				}
			}
			if after := heap(); after > before+8<<20 {
				t.Errorf("heap %d KiB, before %d KiB", after>>10, before>>10)
			}
			s := d.Stats()
			if tt.to == beyondV4 && tt.transit != nil {
				full := s.Queues[0].DropsFull
				if s.UDP.DropsRefused != uint64(total) || s.UDP.Unreachable+s.UDP.UnreachableLimited+full != uint64(total) || s.UDP.UnreachableLimited == 0 || s.UDP.Unreachable == 0 {
					t.Errorf("stats %+v, %d full", s.UDP, full)
				}
			} else if s.UDP.DropsRefused != 0 || s.UDP.Unreachable != 0 {
				t.Errorf("stats %+v", s.UDP)
			}
			d.Close()
			if d.RawOut() != 0 {
				t.Errorf("%d buffers not given back", d.RawOut())
			}
		})
	}
}

// TestEcho checks echo requests to foreign addresses, whole and in fragments,
// and the replies, as a host sees them.
func TestEcho(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	useTransit(t, b, &netstack.Transit{Echo: func(e *netstack.Echo) bool {
		reply := bytes.Clone(e.Message)
		reply[0] = 0
		if e.Source.Is6() {
			reply[0] = 129
		}
		reply[2], reply[3] = 0xba, 0xd0 // filled in
		if err := b.Net().SendEchoReply(e.Destination, e.Source, reply); err != nil {
			t.Error(err)
		}
		return true
	}})
	for _, to := range []netip.Addr{beyondV4, beyondV6, netstacktest.B4, netstacktest.B6} {
		if _, err := a.Net().Ping(t.Context(), to); err != nil {
			t.Error(err)
		}
	}
	if s := b.Stats().Echo; s != (netstack.EchoStats{Requests: 2, Replies: 2}) {
		t.Errorf("stats %+v", s)
	}
}

// TestEchoPackets checks sizes, drops and that replies never wait.
func TestEchoPackets(t *testing.T) {
	testutil.LeakCheck(t)
	for _, v6 := range []bool{false, true} {
		from, to, ip, typ := farV4, beyondV4, 20, byte(0)
		if v6 {
			from, to, ip, typ = farV6, beyondV6, 40, 129
		}
		d := newDevice(t, &netstack.Options{Queues: 1})
		var got []byte
		take := true
		full := 0
		useTransit(t, d, &netstack.Transit{Echo: func(e *netstack.Echo) bool {
			if e.Source != from || e.Destination != to {
				t.Errorf("from %v to %v", e.Source, e.Destination)
			}
			got = bytes.Clone(e.Message)
			if take {
				got[0] = typ
				switch err := d.Net().SendEchoReply(to, from, got); {
				case errors.Is(err, syscall.ENOBUFS):
					full++
				case err != nil:
					t.Error(err)
				}
			}
			return take
		}})
		for _, n := range []int{0, 1, 1000} {
			request := testutil.Echo(from, to, 7, 9, pattern(n))
			d.Write([][]byte{request}, 0)
			reply := readOne(t, d)[0]
			if !testutil.ChecksumsOK(reply) || reply[ip] != typ || !bytes.Equal(reply[ip+4:], request[ip+4:]) {
				t.Errorf("reply to %d bytes: % x", n, reply[:ip+8])
			}
		}
		// A request in fragments gets a reply in fragments.
		request := testutil.Echo(from, to, 7, 9, pattern(3000))
		d.Write(fragments(request, 1400), 0)
		if !bytes.Equal(got[4:], request[ip+4:]) {
			t.Fatalf("got %d bytes", len(got))
		}
		if n := len(readOne(t, d)); n != 3 {
			t.Errorf("%d fragments", n)
		}
		bad := testutil.Echo(from, to, 7, 9, pattern(30))
		bad[len(bad)-1]++
		d.Write([][]byte{bad}, 0)
		d.Write([][]byte{testutil.Echo(map[bool]netip.Addr{false: hostV4, true: hostV6}[v6], to, 1, 1, nil)}, 0)
		take = false
		d.Write([][]byte{testutil.Echo(from, to, 1, 1, nil)}, 0)
		if s := d.Stats(); s.Echo != (netstack.EchoStats{Requests: 4, Replies: 4, DropsChecksum: 1, DropsRefused: 1}) || s.Inbound.DropsSource != 1 {
			t.Errorf("stats %+v, %+v", s.Echo, s.Inbound)
		}
		take = true
		for range 2000 {
			d.Write([][]byte{testutil.Echo(from, to, 1, 1, nil)}, 0)
		}
		if s := d.Stats().Queues[0]; full == 0 || s.DropsFull != uint64(full) || s.Waits != 0 || s.Depth != netstack.RingPackets+netstack.RingReserve {
			t.Errorf("%d full, stats %+v", full, s)
		}
		for _, bad := range []struct {
			from, to netip.Addr
			message  []byte
		}{{to, hostV4, make([]byte, 8)}, {beyondV4, farV6, make([]byte, 8)}, {to, from, make([]byte, 7)}, {netip.Addr{}, from, make([]byte, 8)}} {
			if err := d.Net().SendEchoReply(bad.from, bad.to, bad.message); err == nil {
				t.Errorf("sent %+v", bad)
			}
		}
		useTransit(t, d, &netstack.Transit{})
		d.Write(fragments(request, 1400), 0)
		if s := d.Stats().Echo; s.DropsRefused != 2 {
			t.Errorf("stats %+v", s)
		}
		d.Close()
		err := d.Net().SendEchoReply(to, from, make([]byte, 8))
		wantOpError(t, err, "write", net.ErrClosed)
		if d.RawOut() != 0 {
			t.Errorf("%d buffers not given back", d.RawOut())
		}
	}
}

// fragments cuts an IP packet into fragments of at most mtu bytes.
func fragments(packet []byte, mtu int) (out [][]byte) {
	hdr, ext := 20, 0
	if packet[0]>>4 == 6 {
		hdr, ext = 40, 8
	}
	data := packet[hdr:]
	per := (mtu - hdr - ext) &^ 7
	for from := 0; from < len(data); from += per {
		part, more := data[from:min(from+per, len(data))], from+per < len(data)
		b := append(bytes.Clone(packet[:hdr]), make([]byte, ext)...)
		if ext == 0 {
			binary.BigEndian.PutUint16(b[2:], uint16(hdr+len(part)))
			field := uint16(from / 8)
			if more {
				field |= 0x2000
			}
			binary.BigEndian.PutUint16(b[4:], 77)
			binary.BigEndian.PutUint16(b[6:], field)
			b[10], b[11] = 0, 0
			fixIP(b, 20)
		} else {
			b[6], b[40] = 44, packet[6]
			binary.BigEndian.PutUint16(b[4:], uint16(ext+len(part)))
			field := uint16(from)
			if more {
				field |= 1
			}
			binary.BigEndian.PutUint16(b[42:], field)
			binary.BigEndian.PutUint32(b[44:], 77)
		}
		out = append(out, append(b, part...))
	}
	return out
}

// TestTransitTCPNotHijacked checks that a listener on all addresses of the host
// does not take connections to others, and that the host's own work.
func TestTransitTCPNotHijacked(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	l, err := b.Net().Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan netip.AddrPort, 10)
	useTransit(t, b, &netstack.Transit{TCP: func(r *netstack.TCPRequest) {
		asked <- r.Destination
		c, err := r.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		c.Write([]byte("foreign"))
	}})
	for _, to := range []netip.Addr{beyondV4, beyondV6} {
		c, err := a.Net().DialContext(t.Context(), "tcp", netip.AddrPortFrom(to, 80).String())
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 20)
		if n, err := c.Read(buf); string(buf[:n]) != "foreign" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
		c.Close()
		if got := <-asked; got != netip.AddrPortFrom(to, 80) {
			t.Errorf("asked for %v", got)
		}
	}
	c, err := a.Net().DialContext(t.Context(), "tcp", netip.AddrPortFrom(netstacktest.B4, 80).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if len(asked) != 0 {
		t.Error("transit was asked about the host's address")
	}
}

// TestTransitClose closes devices in the midst of datagrams of all kinds.
func TestTransitClose(t *testing.T) {
	testutil.LeakCheck(t)
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		a, err := netstack.New(&netstack.Options{Addresses: []netip.Addr{netstacktest.A4, netstacktest.A6}, Queues: 2})
		if err != nil {
			t.Fatal(err)
		}
		b, err := netstack.New(&netstack.Options{Addresses: []netip.Addr{netstacktest.B4, netstacktest.B6}, Queues: 2})
		if err != nil {
			t.Fatal(err)
		}
		useTransit(t, b, &netstack.Transit{
			UDP: func(g *netstack.Datagrams) bool { return g.Destination.Port()%2 == 0 },
			Echo: func(e *netstack.Echo) bool {
				b.Net().SendEchoReply(e.Destination, e.Source, e.Message)
				return true
			},
		})
		busy := make(chan struct{}, 1)
		p, err := b.Net().OpenUDPPort(netip.AddrPortFrom(netip.Addr{}, 5), func(*netstack.Datagrams) {
			select {
			case busy <- struct{}{}:
			default:
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		carry := func(q tun.Queue, to *netstack.Device) {
			slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, 50)
			for {
				n, err := q.Read(slab, pkts)
				if err != nil {
					if !errors.Is(err, os.ErrClosed) {
						t.Error(err)
					}
					return
				}
				var bufs [][]byte
				for _, p := range pkts[:n] {
					bufs = append(bufs, slab[p.Offset:p.Offset+p.Size])
				}
				to.Write(bufs, 0)
			}
		}
		for i := range 2 {
			wg.Go(func() { carry(a.Queues()[i], b) })
			wg.Go(func() { carry(b.Queues()[i], a) })
		}
		for _, to := range []string{"10.99.0.2:5", "192.0.2.1:1", "192.0.2.1:2", "10.99.0.1:9"} {
			wg.Go(func() {
				g := &netstack.Datagrams{Source: netip.AddrPortFrom(netstacktest.A4, 1), Destination: netip.MustParseAddrPort(to), Payloads: append(sizes(20, 1000, 3), pattern(4000))}
				for {
					if _, err := a.Net().SendDatagrams(g); err != nil {
						wantOpError(t, err, "write", net.ErrClosed)
						return
					}
				}
			})
		}
		wg.Go(func() {
			for a.Net().SendEchoReply(beyondV4, netip.MustParseAddr("192.0.2.9"), append([]byte{8, 0}, make([]byte, 30)...)) == nil {
				runtime.Gosched()
			}
		})
		<-busy
		wg.Go(func() { a.SetMTU(1300) })
		wg.Go(func() { b.Net().SetTransit(nil) })
		wg.Go(func() { p.Close() })
		wg.Go(func() { a.Close() })
		wg.Go(func() { b.Close() })
		wg.Wait()
		if a.RawOut() != 0 || b.RawOut() != 0 {
			t.Fatalf("%d and %d buffers not given back", a.RawOut(), b.RawOut())
		}
	}
}
