// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestPlainForward proves that what the router's netstack mode is measured against
// does its work, and the meters as well:
//
//	a (plainforward, as nobody) eth0 ─── eth0 b (Tailscale's wireguard-go)
func TestPlainForward(t *testing.T) {
	need(t)
	testutil.NeedTool(t, "setpriv")
	t.Parallel()
	n := lab.TwoHosts(1500).Build(t)
	a, b := n.Host("a"), n.Host("b")
	optionsA, optionsB := lab.TunnelOptions{OuterA: lab.A4, OuterB: lab.B4}.Ends()
	lab.StartDevice(b, implementation(t, lab.ForkName), optionsB)
	const tcp, udp, back = 7001, 7002, 7003
	local := func(port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	far := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(lab.TunnelB4, port) }
	p := lab.StartPlain(a, programs.Plain(t), optionsA,
		"-tcp", fmt.Sprintf("%s=%s", local(tcp), far(tcp)), "-udp", fmt.Sprintf("%s=%s", local(udp), far(udp)),
		"-tcp-in", fmt.Sprintf("%d=%s", back, local(back)))
	wantUnprivileged(t, p)

	traffic.Answerer(t, b, far(tcp))
	traffic.WaitExchange(t, a, local(tcp))
	before := must(p.Holdings())(t)
	release := must(traffic.HoldOpen(a, local(tcp), 50))(t)
	if during := must(p.Holdings())(t); during.Files < before.Files+45 {
		t.Errorf("%d descriptors with 50 connections, %d without", during.Files, before.Files)
	}
	e := must(traffic.Churn(a, local(tcp), 100, time.Second))(t)
	if e.Done == 0 || e.Failed != 0 {
		t.Errorf("%d connections worked, %d failed: %v", e.Done, e.Failed, e.Err)
	}
	release()

	traffic.Answerer(t, a, local(back))
	traffic.WaitExchange(t, b, netip.AddrPortFrom(lab.TunnelA4, back))

	there, other, err := traffic.NewForwardMeters(a, b, local(udp), far(udp), 1200)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	for _, m := range []*traffic.RateMeter{there, other} {
		if r, err := m.Try(1000, 500*time.Millisecond); err != nil || r.Sent != 500 || r.Received != 500 || r.Duplicated+r.Corrupt != 0 {
			t.Errorf("UDP: %+v, %v", r, err)
		}
	}
	if n := p.Goroutines(); n < 5 {
		t.Errorf("%d goroutines", n)
	}
}
