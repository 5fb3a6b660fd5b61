// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// Ports of TestAccounting at b: one that a program reads, one that the filter denies.
const (
	portCounted = 7000
	portDenied  = 7777
)

// Addresses that a sends to: of a peer that is nowhere, and of no peer.
var (
	nowhere = netip.MustParseAddr("10.88.0.1")
	nobody  = netip.MustParseAddr("10.99.0.1")
	spoken4 = netip.MustParseAddr("10.77.9.1") // of the speaker
)

// counted is two routers that tell what they count, with programs behind them:
//
//	a (a sender) eth0 ── veth ── eth0 b (a program that counts what arrives)
//	                                  └ a peer of b that sends any bytes
type counted struct {
	t          *testing.T
	a, b       *lab.Host
	atA, atB   *lab.Device
	box        *box
	speaker    *traffic.Speaker
	open       *post // to box
	beforeA    books
	beforeB    books
	beforeOpen int64 // that had arrived
	// link counts what the link lost; nil where it loses nothing.
	link       func() int64
	beforeLink int64
}

// newCounted starts both routers with lines of [Router].
func newCounted(t *testing.T, bin, lines string) *counted {
	t.Helper()
	return newCountedEach(t, bin, lines, lines)
}

// newCountedEach starts each router with lines of its own.
func newCountedEach(t *testing.T, bin, linesA, linesB string) *counted {
	t.Helper()
	n := lab.TwoHosts(1500).Build(t)
	l := &counted{t: t, a: n.Host("a"), b: n.Host("b")}
	for _, h := range []*lab.Host{l.a, l.b} {
		// The kernel tells its neighbours on a new interface about itself over IPv6,
		// whoever they are.
		h.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
	}
	l.speaker = must(traffic.NewSpeaker(l.a, lab.A4))(t)
	t.Cleanup(func() { l.speaker.Close() })
	ends := lab.TunnelOptions{OuterA: lab.A4, OuterB: lab.B4, Quiet: true}
	a, b := ends.Ends()
	a.Addresses, b.Addresses = a.Addresses[:1], b.Addresses[:1]
	for _, o := range []*lab.DeviceOptions{&a, &b} {
		o.Peers[0].AllowedIPs = o.Peers[0].AllowedIPs[:1]
	}
	a.Peers = append(a.Peers, lab.Peer{PublicKey: lab.NewKey().Public(), AllowedIPs: []string{nowhere.String() + "/32"}})
	b.Peers = append(b.Peers, l.speaker.Peer(spoken4.String()+"/32"))
	const router = "[Router]\nMetrics = " + metricsAt + "\nDiscovery = off\n"
	l.atA = lab.StartDevice(l.a, lab.Implementation{Name: lab.RouterName, Path: bin, Sections: router + linesA + "\n"}, a)
	filter := fmt.Sprintf("\n[Filter]\nDeny = from peers to host proto udp port %d\nAllow = any\n", portDenied)
	l.atB = lab.StartDevice(l.b, lab.Implementation{Name: lab.RouterName, Path: bin, Sections: router + linesB + filter}, b)
	l.a.AddRoute(nobody.String()+"/32", "", "wg0", 0)
	traffic.WaitPing(t, l.a, lab.TunnelB4)
	if err := l.speaker.Connect(l.atB.PublicKey(), outerPort(lab.B4)); err != nil {
		t.Fatal(err)
	}
	l.box = newBox(t, l.b, netip.AddrPortFrom(lab.TunnelB4, portCounted))
	l.open = newPost(t, l.a, l.box.at)
	l.open.burst(t, 1, 100, 0)
	lab.Wait(t, lab.Patience, "the first datagram", func() error {
		if l.box.got.Load() != 1 {
			return fmt.Errorf("%d are there", l.box.got.Load())
		}
		return nil
	})
	l.begin()
	return l
}

// begin opens new books.
func (l *counted) begin() {
	l.beforeA, l.beforeB, l.beforeOpen = scrape(l.t, l.a), scrape(l.t, l.b), l.box.got.Load()
	if l.link != nil {
		l.beforeLink = l.link()
	}
}

// balance waits until the books since begin are closed: every packet that was sent has
// arrived or is a drop, and those that are asked for are what they should be, by the
// name of the series; those of b begin with "b ".
func (l *counted) balance(t *testing.T, sent int64, want map[string]float64) {
	t.Helper()
	lab.Wait(t, lab.Patience, "balance", func() error {
		a, b := scrape(t, l.a), scrape(t, l.b)
		arrived := l.box.got.Load() - l.beforeOpen
		sum := float64(arrived)
		for _, side := range [][2]books{{a, l.beforeA}, {b, l.beforeB}} {
			sum += side[0].since(side[1], "router_dropped_packets_total")
			sum += side[0].since(side[1], pending("transmit")) + side[0].since(side[1], pending("receive"))
		}
		if l.link != nil {
			sum += float64(l.link() - l.beforeLink)
		}
		var err error
		if sum != float64(sent) {
			err = fmt.Errorf("%d were sent, %v are accounted for", sent, sum)
		}
		for name, n := range want {
			got := a.since(l.beforeA, name)
			if name[:2] == "b " {
				got = b.since(l.beforeB, name[2:])
			}
			if got != n {
				err = fmt.Errorf("%s is %v, want %v; %d were sent, %v are accounted for", name, got, n, sent, sum)
			}
		}
		if err != nil {
			return fmt.Errorf("%w; %d arrived\na:\n%s\nb:\n%s", err, arrived, a.drops(l.beforeA), b.drops(l.beforeB))
		}
		t.Logf("%d sent, %d arrived\na: %s\nb: %s", sent, arrived, a.drops(l.beforeA), b.drops(l.beforeB))
		return nil
	})
}

// stopped runs f while a router does not.
func stopped(d *lab.Device, f func()) {
	d.Process.Signal(syscall.SIGSTOP)
	defer d.Process.Signal(syscall.SIGCONT)
	f()
}

// atLeast fails unless a series of a or, as in balance, of b has grown by n.
func (l *counted) atLeast(t *testing.T, name string, n float64) {
	t.Helper()
	after, before := scrape(t, l.a), l.beforeA
	if name[:2] == "b " {
		name, after, before = name[2:], scrape(t, l.b), l.beforeB
	}
	if got := after.since(before, name); got < n {
		t.Errorf("%s has grown by %v, want %v at least: the test has not made that happen", name, got, n)
	}
}

// TestAccounting forces drops of every kind, one after the other and all together, and
// compares what was sent with what arrived and what two scrapes say of the rest: they
// are the same, to the packet. Messages are sent one by one, because the kernel counts
// what GSO has merged as one when it drops it.
func TestAccounting(t *testing.T) {
	bin := router(t)
	l := newCounted(t, bin, "GSO = off\nGRO = off")
	none := map[string]float64{pending("transmit"): 0, pending("receive"): 0, "b " + pending("transmit"): 0, "b " + pending("receive"): 0}
	with := func(more map[string]float64) map[string]float64 {
		for name, n := range none {
			if _, ok := more[name]; !ok {
				more[name] = n
			}
		}
		return more
	}
	to := func(addr netip.Addr, port uint16) *post { return newPost(t, l.a, netip.AddrPortFrom(addr, port)) }
	noPeer, denied := to(nobody, 9), to(lab.TunnelB4, portDenied)

	run := func(name string, f func(t *testing.T)) {
		l.begin()
		if !t.Run(name, f) {
			t.FailNow() // what is wrong here is wrong below
		}
	}
	run("nothing", func(t *testing.T) {
		l.open.burst(t, 2000, 1000, 20)
		l.balance(t, 2000, with(map[string]float64{
			"router_dropped_packets_total": 0, "b router_dropped_packets_total": 0,
			`router_transmit_messages_total{type="data"}`:                                 2000,
			`router_inner_packets_total{direction="transmit"}`:                            2000,
			`b router_inner_packets_total{direction="receive"}`:                           2000,
			`router_path_packets_total{direction="transmit",path="direct",family="ipv4"}`: 2000,
		}))
	})
	run("no peer", func(t *testing.T) {
		noPeer.burst(t, 300, 100, 20)
		l.open.burst(t, 100, 100, 20)
		l.balance(t, 400, with(map[string]float64{drop("hub", "no_peer"): 300}))
	})
	run("filter", func(t *testing.T) {
		denied.burst(t, 300, 100, 20)
		l.open.burst(t, 100, 100, 20)
		l.balance(t, 400, with(map[string]float64{"b " + drop("filter", "rule"): 300}))
	})
	run("full TUN queue", func(t *testing.T) {
		stopped(l.atA, func() { l.open.burst(t, 5000, 100, 0) })
		l.balance(t, 5000, with(map[string]float64{"b router_dropped_packets_total": 0}))
		l.atLeast(t, drop("tun_link", "queue_full"), 1000)
	})
	run("full socket buffer", func(t *testing.T) {
		stopped(l.atB, func() { l.open.burst(t, 20000, 1380, 100) })
		l.balance(t, 20000, with(map[string]float64{}))
		l.atLeast(t, "b "+drop("socket_receive", "overflow"), 1000)
	})
	run("firewall", func(t *testing.T) {
		l.a.NFT("table inet accounting { chain out { type filter hook output priority 0; udp dport 51820 drop\n}\n}")
		l.open.burst(t, 300, 100, 20)
		l.balance(t, 300, with(map[string]float64{drop("socket_transmit", "denied"): 300}))
		l.a.NFT("delete table inet accounting")
	})
	run("replays and forgeries", func(t *testing.T) {
		lots := l.overheard(t, l.b, func() {
			l.open.burst(t, 200, 100, 20)
			l.balance(t, 200, with(map[string]float64{}))
		})
		for _, lot := range lots {
			if err := traffic.Send(l.a, netip.AddrPortFrom(lab.A4, 0), outerPort(lab.B4), lot...); err != nil {
				t.Fatal(err)
			}
		}
		l.balance(t, 200+200+400+200, with(map[string]float64{
			"b " + drop("decrypt", "replay"):       200,
			"b " + drop("receive", "unknown_type"): 100,
			"b " + drop("receive", "bad_length"):   100,
			"b " + pending("receive"):              400,
		}))
	})
	run("bad packets of a peer", func(t *testing.T) {
		from := netip.AddrPortFrom(spoken4, 5000)
		good := udp(from, l.box.at, "good").Bytes()
		sum := bytes.Clone(good)
		sum[10] ^= 1
		spoofed := udp(netip.AddrPortFrom(lab.TunnelA4, 5000), l.box.at, "spoofed").Bytes()
		version := bytes.Clone(good)
		version[0] = 0x75
		for range 50 {
			if err := l.speaker.Send(good, sum, spoofed, version, nil); err != nil {
				t.Fatal(err)
			}
		}
		l.balance(t, 200, with(map[string]float64{
			"b " + drop("hub", "malformed_checksum"): 50,
			"b " + drop("decrypt", "source"):         50,
			"b " + drop("decrypt", "version"):        50,
			"b router_receive_keepalives_total":      50,
		}))
	})
	run("all at once", func(t *testing.T) {
		var wg sync.WaitGroup
		posts := []*post{l.open, l.open, noPeer, denied}
		var begun int64
		for _, p := range []*post{l.open, noPeer, denied} {
			begun += p.sent.Load()
		}
		stopped(l.atB, func() { l.open.burst(t, 12000, 1380, 100) })
		for i, p := range posts {
			wg.Go(func() { p.burst(t, 10000, 200+300*i, 50) })
		}
		for range 3 {
			stopped(l.atA, func() { l.open.burst(t, 3000, 100, 0) })
		}
		wg.Wait()
		var sent int64
		for _, p := range []*post{l.open, noPeer, denied} {
			sent += p.sent.Load()
		}
		l.balance(t, sent-begun, with(map[string]float64{}))
		for _, name := range []string{drop("tun_link", "queue_full"), drop("hub", "no_peer"), "b " + drop("filter", "rule"), "b " + drop("socket_receive", "overflow")} {
			l.atLeast(t, name, 1000)
		}
	})
	// What waits for a peer that is nowhere stays in the gauge, and the handshakes that
	// are tried are drops of their own.
	run("no address", func(t *testing.T) {
		to(nowhere, 9).burst(t, 300, 100, 20)
		tried := func(b books) float64 { return b.since(l.beforeA, `router_transmit_messages_total{type="initiation"}`) }
		lab.Wait(t, lab.Patience, "handshakes are tried", func() error {
			a := scrape(t, l.a)
			if n := a.since(l.beforeA, drop("transmit", "no_address")); n < 1 || n != tried(a) || a.since(l.beforeA, pending("transmit")) != 300 {
				return fmt.Errorf("%v tried\n%s", tried(a), a.drops(l.beforeA))
			}
			return nil
		})
	})
}

// TestAccountingGSO makes the kernel refuse segmented messages, which are sent again
// one by one: nothing is lost by that, and nothing counted as lost.
func TestAccountingGSO(t *testing.T) {
	bin := router(t)
	l := newCounted(t, bin, "GSO = on")
	// Segments are larger than the interface takes: the kernel cuts no message that it
	// would have to fragment, and fragments single ones.
	l.a.SetMTU("eth0", 1300)
	for round := range 10 {
		stopped(l.atA, func() { l.open.burst(t, 200, 1380, 0) })
		l.balance(t, int64(200*(round+1)), map[string]float64{
			"router_dropped_packets_total": 0, "b router_dropped_packets_total": 0,
			pending("transmit"): 0, "b " + pending("receive"): 0,
		})
	}
	l.atLeast(t, "router_socket_gso_fallbacks_total", 1)
}
