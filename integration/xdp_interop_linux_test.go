// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// Topology of this file:
//
//	a (the router with XDP on eth0) eth0 ── veth ── eth0 b (the peer)

// TestXDPInterop sends real traffic between a router that has XDP and every
// implementation, and checks which way it took: what comes past the kernel, single
// packets past it too, and bulk through the kernel's sockets.
func TestXDPInterop(t *testing.T) {
	bin := xdpRouter(t)
	t.Parallel()
	for _, name := range lab.Names() {
		for _, family := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s/over IPv%d", name, family), func(t *testing.T) {
				t.Parallel()
				xdpInterop(t, bin, name, family)
			})
		}
	}
}

func xdpInterop(t *testing.T, bin, name string, family int) {
	self := lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true, Sections: xdpSections("eth0")}
	other := self // with XDP as well
	if name != lab.RouterName {
		other = implementation(t, name)
	}
	net := lab.TwoHosts(1500).Build(t)
	a, b := net.Host("a"), net.Host("b")
	outerA, outerB := outer(family)
	tun := lab.StartTunnel(lab.TunnelOptions{A: self, HostA: a, OuterA: outerA, B: other, HostB: b, OuterB: outerB})
	with := map[*lab.Host]*lab.Device{a: tun.A}
	if name == lab.RouterName {
		with[b] = tun.B
	}
	for _, d := range with {
		waitActive(t, d)
	}
	traffic.WaitPing(t, a, lab.TunnelB4)
	wantPings(t, a, b)
	past := func() {
		t.Helper()
		for h := range with {
			wantSmallPast(t, h, map[*lab.Host]netip.Addr{a: lab.TunnelB6, b: lab.TunnelA6}[h])
		}
	}
	past()
	const bytes = 2 << 20
	for _, dir := range []struct {
		from, to *lab.Host
		dst      netip.Addr
	}{{a, b, lab.TunnelB4}, {b, a, lab.TunnelA6}} {
		if r := must(traffic.TCP(dir.from, dir.to, dir.dst, bytes))(t); r.Received < 2*bytes {
			t.Errorf("%s to %s: TCP carried %d bytes, want %d", dir.from.Name, dir.dst, r.Received, 2*bytes)
		}
		// Full packets, unfragmented inside.
		if n := must(traffic.Ping(dir.from, dir.dst, 5, 1372))(t); n != 5 {
			t.Errorf("%s to %s: %d of 5 pings answered", dir.from.Name, dir.dst, n)
		}
	}
	past() // again after bulk

	for h := range with {
		m := scrape(t, h)
		received, through := m.sum(xdpReceived), m.throughKernel("receive")
		if received < bytes/1420 || through > received/100 {
			t.Errorf("host %s: %v packets were received past the kernel, %v through it", h.Name, received, through)
		}
		if sent, bulk := m.throughKernel("transmit"), m[kernelReason("bulk")]; bulk < 100 || sent < bulk {
			t.Errorf("host %s: %v packets were sent through the kernel, %v because they are bulk", h.Name, sent, bulk)
		}
		wantBalance(t, h)
	}
	for _, d := range with {
		wantNoProgram(t, d)
	}
}

// wantNoProgram ends a router and checks that nothing of it stays on the interface.
func wantNoProgram(t *testing.T, d *lab.Device) {
	t.Helper()
	if code := d.Process.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if id := d.Host.XDPProgram("eth0"); id != 0 {
		t.Errorf("program %d stays on the interface", id)
	}
}

// TestXDPRelayed has both ends of a relayed path receive and send past the kernel: with
// a Geneve header in front.
func TestXDPRelayed(t *testing.T) {
	bin := xdpRouter(t)
	t.Parallel()
	self := lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true, Sections: xdpSections("auto")}
	r := lab.StartRelayed(t, lab.RelayedOptions{Program: self})
	lab.Wait(t, lab.Patience, "ends have programs", func() error {
		for _, h := range []*lab.Host{r.HostA, r.HostC} {
			if h.XDPProgram("eth0") == 0 {
				return fmt.Errorf("host %s has none", h.Name)
			}
		}
		return nil
	})
	traffic.WaitPing(t, r.HostA, lab.TunnelB4)
	wantPings(t, r.HostA, r.HostC)
	relayed := r.Relayed()
	for _, dir := range []struct {
		from, to *lab.Host
		dst      netip.Addr
	}{{r.HostA, r.HostC, lab.TunnelB6}, {r.HostC, r.HostA, lab.TunnelA6}} {
		wantSmallPast(t, dir.from, dir.dst)
		const bytes = 1 << 20
		if r := must(traffic.TCP(dir.from, dir.to, dir.dst, bytes))(t); r.Received < 2*bytes {
			t.Errorf("%s to %s: TCP carried %d bytes, want %d", dir.from.Name, dir.dst, r.Received, 2*bytes)
		}
	}
	if n := r.Relayed() - relayed; n < 20 {
		t.Errorf("%d packets came to the relay", n)
	}
	for _, h := range []*lab.Host{r.HostA, r.HostC} {
		m := scrape(t, h)
		if n, through := m.sum(xdpReceived), m.throughKernel("receive"); n < 500 || through > n/100 {
			t.Errorf("host %s: %v packets were received past the kernel, %v through it", h.Name, n, through)
		}
		wantRedirected(t, h, nil)
	}
}

// TestXDPFullTunnel has the default route lead into the tunnel: XDP = auto means the
// interface that the tunnel's own packets leave by, and so do their routes.
func TestXDPFullTunnel(t *testing.T) {
	bin := xdpRouter(t)
	t.Parallel()
	for _, family := range []int{4, 6} {
		t.Run(fmt.Sprintf("over IPv%d", family), func(t *testing.T) {
			t.Parallel()
			net := lab.ThroughRouter(1500).Build(t)
			a, c := net.Host("a"), net.Host("c")
			o := lab.TunnelOptions{OuterA: lab.A4, OuterB: lab.C4}
			if family == 6 {
				o.OuterA, o.OuterB = lab.A6, lab.C6
			}
			near, far := o.Ends()
			near.Peers[0].AllowedIPs = []string{"0.0.0.0/0", "::/0"}
			lab.StartDevice(c, implementation(t, lab.UpstreamName), far)
			d := lab.StartDevice(a, lab.Implementation{Name: lab.RouterName, Path: bin, Sections: xdpSections("auto")}, near)
			traffic.WaitPing(t, a, lab.TunnelB4)
			waitXDP(t, d, "XDP on eth0", func(s *xdpStatus) bool { return s.Interface == "eth0" })
			wantSmallPast(t, a, lab.TunnelB4)
			wantPings(t, a, c)
			waitGrown(t, a, nil, 10, xdpReceived)
			wantBalance(t, a)
			wantNoProgram(t, d)
		})
	}
}
