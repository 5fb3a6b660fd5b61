// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// Lines of [Router] in this file: without GSO, what is bulk goes past the kernel too.
const (
	countedPast   = "GSO = off\nGRO = off\nXDP = eth0"
	countedKernel = "GSO = off\nGRO = off"
)

// newCountedPast is newCountedEach for routers with XDP. A queue of a veth device with a
// program holds 256 packets, and the device counts those that find no room.
func newCountedPast(t *testing.T, linesA, linesB string) *counted {
	t.Helper()
	l := newCountedEach(t, xdpRouter(t), linesA, linesB)
	l.link = func() int64 { return l.a.TxDropped("eth0") }
	if linesA == countedPast {
		waitActive(t, l.atA)
		// The same packets as the router counts them.
		l.link = func() int64 {
			return l.a.TxDropped("eth0") - int64(scrape(t, l.a)[drop("socket_transmit", "device")])
		}
	}
	waitActive(t, l.atB)
	l.begin()
	return l
}

// TestXDPAccounting is TestAccounting between routers of which both have XDP: what was
// sent is what arrived and what is counted as lost, to the packet.
func TestXDPAccounting(t *testing.T) {
	bin := xdpRouter(t)
	l := newCountedPast(t, countedPast, countedPast)
	to := func(addr netip.Addr, port uint16) *post { return newPost(t, l.a, netip.AddrPortFrom(addr, port)) }
	noPeer, denied := to(nobody, 9), to(lab.TunnelB4, portDenied)
	run := func(name string, f func(t *testing.T)) {
		l.begin()
		if !t.Run(name, f) {
			t.FailNow()
		}
	}
	run("nothing", func(t *testing.T) {
		l.open.burst(t, 1000, 1000, 20)
		l.balance(t, 1000, map[string]float64{
			"router_dropped_packets_total": 0, "b router_dropped_packets_total": 0,
			`router_transmit_messages_total{type="data"}`: 1000,
		})
		l.atLeast(t, xdpSent, 900) // and what had to wait for the neighbour's address
		l.atLeast(t, "b "+xdpReceived, 900)
	})
	run("no peer, and a filter", func(t *testing.T) {
		noPeer.burst(t, 300, 100, 20)
		denied.burst(t, 300, 100, 20)
		l.open.burst(t, 100, 100, 20)
		l.balance(t, 700, map[string]float64{drop("hub", "no_peer"): 300})
		l.atLeast(t, "b "+drop("filter", "rule"), 200)
	})
	run("full TUN queue", func(t *testing.T) {
		stopped(l.atA, func() { l.open.burst(t, 5000, 100, 0) })
		l.balance(t, 5000, nil)
		l.atLeast(t, drop("tun_link", "queue_full"), 1000)
	})
	for _, h := range []*lab.Host{l.a, l.b} {
		wantBalance(t, h)
	}
	run("full receive ring", func(t *testing.T) {
		stopped(l.atB, func() { l.open.burst(t, 10000, 1380, 50) })
		l.balance(t, 10000, nil)
		l.atLeast(t, "b "+drop("socket_receive", "overflow"), 1000)
	})
	run("program detached", func(t *testing.T) {
		for _, d := range []*lab.Device{l.atB, l.atA} {
			before := xdpOf(t, d).Restarts
			d.Host.DetachXDP("eth0")
			l.open.burst(t, 2000, 1000, 20)
			waitXDP(t, d, "attached again", func(s *xdpStatus) bool { return s.Restarts > before })
		}
		l.open.burst(t, 1000, 1000, 20)
		l.balance(t, 5000, nil)
	})
	run("reload", func(t *testing.T) {
		for _, d := range []*lab.Device{l.atB, l.atA} {
			const file = "/etc/wireguard/wg0.conf"
			on := d.Host.ReadFile(file)
			for _, text := range []string{strings.Replace(on, "XDP = eth0", "XDP = off", 1), on} {
				d.Host.WriteFile(file, text, 0o600)
				var wg sync.WaitGroup
				wg.Go(func() { l.open.burst(t, 2000, 1000, 20) })
				d.Host.Output(bin, "reload", "wg0")
				wg.Wait()
				if got, want := xdpOf(t, d) != nil, text == on; got != want {
					t.Fatalf("host %s: XDP is on %t, want %t", d.Host.Name, got, want)
				}
			}
			waitActive(t, d)
		}
		l.balance(t, 8000, nil)
	})
	run("link down", func(t *testing.T) {
		l.a.SetDown("eth0")
		l.open.burst(t, 300, 100, 20)
		l.a.SetUp("eth0")
		waitActive(t, l.atA)
		// What waits for the neighbour's address is the kernel's, and too much of it lost.
		traffic.WaitPing(t, l.a, lab.B4)
		l.open.burst(t, 300, 100, 20)
		l.balance(t, 600, nil)
	})
}

// TestXDPAccountingForged has a router that receives past the kernel hear everything
// twice, forged, and much that is no message.
func TestXDPAccountingForged(t *testing.T) {
	// Nobody overhears what goes past the kernel.
	l := newCountedPast(t, countedKernel, countedPast)
	lots := l.overheard(t, l.a, func() {
		l.open.burst(t, 200, 100, 20)
		l.balance(t, 200, nil)
	})
	sent := int64(200)
	for _, lot := range lots {
		if err := traffic.Send(l.a, netip.AddrPortFrom(lab.A4, 0), outerPort(lab.B4), lot...); err != nil {
			t.Fatal(err)
		}
		sent += int64(len(lot))
		// All of a lot has arrived before the next: the link loses none of them.
		l.balance(t, sent, nil)
	}
	l.balance(t, sent, map[string]float64{
		"b " + drop("decrypt", "replay"):       200,
		"b " + drop("receive", "unknown_type"): 100,
		"b " + drop("receive", "bad_length"):   100,
		"b " + pending("receive"):              400,
	})
	l.atLeast(t, "b "+xdpReceived, 1000)
	wantBalance(t, l.b)
}
