// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// An xdpFaults is a router with XDP on eth0 under one TCP stream that goes both ways
// through the tunnel:
//
//	a (the router) eth0 192.0.2.1   ── up to four queues ── eth0 192.0.2.2   b (a peer)
//	               eth1 203.0.113.1 ─────────────────────── eth1 203.0.113.2
type xdpFaults struct {
	t       *testing.T
	bin     string
	net     *lab.Net
	a, b    *lab.Host
	tun     *lab.Tunnel
	options lab.DeviceOptions // of the router
	stream  *traffic.Stream
}

// uplink is the link with XDP at one end.
func uplink() lab.Link {
	return lab.Link{
		Queues: 4,
		A:      lab.End{Host: "a", Interface: "eth0", Addresses: []string{"192.0.2.1/24"}},
		B:      lab.End{Host: "b", Interface: "eth0", Addresses: []string{"192.0.2.2/24"}},
	}
}

func newXDPFaults(t *testing.T, peer string) *xdpFaults {
	t.Helper()
	f := &xdpFaults{t: t, bin: xdpRouter(t)}
	testutil.NeedTool(t, "ethtool")
	f.net = lab.Topology{Links: []lab.Link{uplink(), {
		A: lab.End{Host: "a", Interface: "eth1", Addresses: []string{"203.0.113.1/24"}},
		B: lab.End{Host: "b", Interface: "eth1", Addresses: []string{"203.0.113.2/24"}},
	}}}.Build(t)
	f.a, f.b = f.net.Host("a"), f.net.Host("b")
	for _, h := range []*lab.Host{f.a, f.b} {
		for _, of := range []string{"all", "eth0", "eth1"} { // each link carries the addresses of both
			h.Sysctl("net/ipv4/conf/"+of+"/rp_filter", "0")
		}
	}
	// No end receives on fewer queues than the other one sends on.
	f.b.Output("ethtool", "-L", "eth0", "tx", "2")
	f.a.Output("ethtool", "-L", "eth0", "rx", "2")
	var far lab.DeviceOptions
	f.options, far = lab.TunnelOptions{OuterA: lab.A4, OuterB: lab.B4}.Ends()
	f.tun = &lab.Tunnel{A: lab.StartDevice(f.a, f.router(f.sections()), f.options), B: lab.StartDevice(f.b, implementation(t, peer), far)}
	waitActive(t, f.tun.A)
	traffic.WaitPing(t, f.a, lab.TunnelB4)
	f.stream = must(traffic.StartStream(f.a, f.b, lab.TunnelB4, lab.Patience))(t)
	return f
}

// sections are those of the router. Without GSO, bulk goes past the kernel too.
func (f *xdpFaults) sections() string { return xdpSections("eth0", "GSO = off") }

func (f *xdpFaults) router(sections string) lab.Implementation {
	return lab.Implementation{Name: lab.RouterName, Path: f.bin, Learns: true, Sections: sections}
}

// goesOn waits until the stream has carried more.
func (f *xdpFaults) goesOn(t *testing.T, what string) {
	t.Helper()
	reached := f.stream.Received() + 2<<20
	lab.Wait(t, lab.Patience, "2 MiB more after "+what, func() error {
		if n := f.stream.Received(); n < reached {
			return fmt.Errorf("%d bytes missing", reached-n)
		}
		return nil
	})
}

// run does something to the network or the router, and checks that the stream goes on
// then, past the kernel in both directions.
func (f *xdpFaults) run(what string, fault func(t *testing.T)) {
	f.t.Helper()
	if !f.t.Run(what, func(t *testing.T) {
		fault(t)
		waitActive(t, f.tun.A)
		before := scrape(t, f.a)
		f.goesOn(t, what)
		waitGrown(t, f.a, before, 100, xdpReceived, xdpSent)
	}) {
		f.t.FailNow()
	}
}

// restarted does something, and waits until the router has become active again.
func (f *xdpFaults) restarted(t *testing.T, what string, do func()) {
	t.Helper()
	before := xdpOf(t, f.tun.A).Restarts
	do()
	waitXDP(t, f.tun.A, "active again after "+what, func(s *xdpStatus) bool { return s.Restarts > before })
}

// end ends the stream and the router.
func (f *xdpFaults) end() {
	f.t.Helper()
	if r := must(f.stream.Stop())(f.t); r.Received == 0 {
		f.t.Error("the stream carried nothing")
	}
	wantSmallPast(f.t, f.a, lab.TunnelB4)
	wantBalance(f.t, f.a)
	wantNoProgram(f.t, f.tun.A)
}

// ip runs ip(8) in the router's host.
func (f *xdpFaults) ip(args ...string) { f.a.Output("ip", args...) }

// TestXDPLinkFaults changes the links of a router that has XDP on one of them.
func TestXDPLinkFaults(t *testing.T) {
	f := newXDPFaults(t, lab.UpstreamName)
	t.Parallel()
	f.run("nothing", func(*testing.T) {})
	f.run("link down and up", func(t *testing.T) {
		for range 3 {
			f.a.SetDown("eth0")
			waitNoXDP(t, f.tun.A, "eth0 is down")
			f.a.SetUp("eth0")
			waitActive(t, f.tun.A)
		}
	})
	f.run("carrier lost and back", func(t *testing.T) {
		f.b.SetDown("eth0")
		f.b.SetUp("eth0")
	})
	f.run("neighbour deleted", func(t *testing.T) {
		before := scrape(t, f.a)
		for range 20 {
			f.a.Exec(lab.Command{Path: "ip", Args: []string{"neigh", "del", lab.B4.String(), "dev", "eth0"}})
		}
		waitGrown(t, f.a, before, 1, `router_xdp_kernel_packets_total{reason="pending"}`)
	})
	f.run("other link", func(t *testing.T) {
		before := scrape(t, f.a)
		f.ip("route", "add", lab.B4.String(), "via", "203.0.113.2", "dev", "eth1", "src", lab.A4.String())
		waitGrown(t, f.a, before, 100, kernelReason("other_interface"))
		f.goesOn(t, "the route leads over eth1")
		f.b.Output("ip", "route", "add", lab.A4.String(), "via", "203.0.113.1", "dev", "eth1", "src", lab.B4.String())
		lab.Wait(t, lab.Patience, "packets come over eth1", func() error {
			if n := scrape(t, f.a).throughKernel("receive") - before.throughKernel("receive"); n < 100 {
				return fmt.Errorf("%v were received through the kernel", n)
			}
			return nil
		})
		f.goesOn(t, "both routes lead over eth1")
		f.ip("route", "del", lab.B4.String())
		f.b.Output("ip", "route", "del", lab.A4.String())
	})
	// The kernel does not let go of queues that have a socket; there may be more.
	f.run("more queues", func(t *testing.T) {
		queues := func(n int) func(s *xdpStatus) bool {
			return func(s *xdpStatus) bool { return len(s.Queues) == n }
		}
		waitXDP(t, f.tun.A, "two queues", queues(2))
		f.restarted(t, "more queues", func() { f.a.Output("ethtool", "-L", "eth0", "rx", "4") })
		waitXDP(t, f.tun.A, "four queues", queues(4))
		f.b.Output("ethtool", "-L", "eth0", "tx", "4")
	})
	f.run("another MTU", func(t *testing.T) {
		f.restarted(t, "MTU", func() { f.a.SetMTU("eth0", 1600) })
		f.restarted(t, "MTU", func() { f.a.SetMTU("eth0", 1500) })
	})
	f.run("deleted and created", func(t *testing.T) {
		f.restarted(t, "a new interface", func() {
			f.a.DelLink("eth0")
			waitNoXDP(t, f.tun.A, "no interface eth0")
			f.net.AddLink(uplink())
		})
	})
	f.end()
}

// TestXDPProgramFaults takes the program away from a router, and the router from the
// program.
func TestXDPProgramFaults(t *testing.T) {
	f := newXDPFaults(t, lab.DebianName)
	t.Parallel()
	f.run("detached by somebody", func(t *testing.T) {
		for range 2 {
			f.restarted(t, "the program was detached", func() { f.a.DetachXDP("eth0") })
		}
	})
	wantBalance(t, f.a)
	file, off := f.options.File(f.sections()), f.options.File(xdpSections("off", "GSO = off"))
	var before books // without XDP
	f.run("reload", func(t *testing.T) {
		for range 3 {
			f.reload(off)
			if s, id := xdpOf(t, f.tun.A), f.a.XDPProgram("eth0"); s != nil || id != 0 {
				t.Fatalf("off: %+v, program %d", s, id)
			}
			before = scrape(t, f.a)
			f.goesOn(t, "XDP = off")
			if scrape(t, f.a).throughKernel("receive") == 0 {
				t.Error("nothing is received through the kernel")
			}
			f.reload(file)
			waitActive(t, f.tun.A)
		}
	})
	wantRedirected(t, f.a, before)
	must(f.stream.Stop())(t)

	f.tun.A.Process.Kill()
	lab.Wait(t, lab.Patience, "the program goes with its process", func() error {
		if f.a.XDPProgram("eth0") != 0 {
			return errors.New("it is there")
		}
		return nil
	})
	f.tun.A = lab.StartDevice(f.a, f.router(f.sections()), f.options)
	waitActive(t, f.tun.A)
	traffic.WaitPing(t, f.a, lab.TunnelB4)
	f.stream = must(traffic.StartStream(f.b, f.a, lab.TunnelA4, lab.Patience))(t)
	f.run("killed and started", func(*testing.T) {})
	f.end()
}

// reload gives the router another file.
func (f *xdpFaults) reload(file string) {
	f.t.Helper()
	f.a.WriteFile("/etc/wireguard/wg0.conf", file, 0o600)
	f.a.Output(f.bin, "reload", "wg0")
}
