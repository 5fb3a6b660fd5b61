// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// TestXDPNotThere runs a router with XDP on an interface where there can be none: one
// line of the log says so, and the status says why. It runs all the same, and begins when
// there is such an interface.
func TestXDPNotThere(t *testing.T) {
	bin := xdpRouter(t)
	for _, test := range []struct{ name, iface, reason string }{
		{"no interface", "eth7", "no interface eth7"},
		{"loopback", "lo", "lo is no Ethernet interface"},
		{"no default route", "auto", "no default route"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			net := lab.TwoHosts(1500).Build(t)
			a, b := net.Host("a"), net.Host("b")
			self := lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true, Sections: xdpSections(test.iface)}
			tun := lab.StartTunnel(lab.TunnelOptions{A: self, HostA: a, OuterA: lab.A4, B: implementation(t, lab.UpstreamName), HostB: b, OuterB: lab.B4})
			traffic.WaitPing(t, a, lab.TunnelB4)
			wantPings(t, a, b)
			waitNoXDP(t, tun.A, test.reason)
			wantOneLine(t, tun.A.Process, "XDP not active", test.reason)
			if want, text := "xdp: kernel sockets: "+test.reason, a.Output(bin, "status", "wg0"); !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
			if m := scrape(t, a); m.sum("router_xdp_active") != 0 || m.sum(xdpReceived) != 0 || m[kernelReason("inactive")] == 0 {
				t.Errorf("active %v, received %v, sent through the kernel's sockets %v", m.sum("router_xdp_active"), m.sum(xdpReceived), m[kernelReason("inactive")])
			}
			switch test.iface {
			case "eth7":
				a.Output("ip", "link", "set", "eth0", "down")
				a.Output("ip", "link", "set", "eth0", "name", "eth7")
				a.Output("ip", "link", "set", "eth7", "up")
			case "auto":
				a.AddRoute("0.0.0.0/0", lab.B4.String(), "", 0)
			default:
				return
			}
			waitActive(t, tun.A)
			traffic.WaitPing(t, a, lab.TunnelB4)
			wantSmallPast(t, a, lab.TunnelB4)
			wantOneLine(t, tun.A.Process, "XDP active", "")
		})
	}
}

// wantOneLine checks that a program has written one line with some words, which has others
// too.
func wantOneLine(t *testing.T, p *lab.Process, words, others string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(p.Output()) {
		if strings.Contains(line, words) {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], others) {
		t.Errorf("%d lines with %q, want one, with %q: %q", len(lines), words, others, lines)
	}
}

// TestXDPUnprivileged runs a router without privileges that is to use XDP.
func TestXDPUnprivileged(t *testing.T) {
	xdpRouter(t)
	l := newNetstackLab(t, lab.UpstreamName)
	t.Parallel()
	p := l.start(t, section("Router", "XDP = auto"))
	wantOneLine(t, p, "XDP can not be used, packets take the kernel's sockets", "operation not permitted")
	text := l.a.Output(l.bin, "status", "--socket-dir", lab.NobodyDir, "wg0")
	if want := "xdp: kernel sockets: "; !strings.Contains(text, want) || !strings.Contains(text, "operation not permitted") {
		t.Errorf("no %q with the reason in\n%s", want, text)
	}
	if n := must(traffic.Ping(l.b, lab.TunnelA4, 3, 56))(t); n != 3 {
		t.Errorf("%d of 3 pings answered", n)
	}
}
