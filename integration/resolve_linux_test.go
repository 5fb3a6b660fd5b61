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

// TestEndpointName moves a peer that is configured by name to another address
// and lets it forget the router. The router asks for the name again when its
// handshakes are not answered:
//
//	a ("router up", private /etc/hosts) eth0 ── veth ── eth0 b (a peer)
func TestEndpointName(t *testing.T) {
	bin := router(t)
	t.Parallel()
	n := lab.TwoHosts(1500).Build(t)
	a, b := n.Host("a"), n.Host("b")
	const hosts = "127.0.0.1 localhost\n%s peer.example\n"
	a.WriteFile("/etc/hosts", fmt.Sprintf(hosts, lab.B4), 0o644)
	// A name server that answers nothing must not matter.
	a.WriteFile("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", 0o644)

	key, other := lab.NewKey(), lab.NewKey()
	im := implementation(t, lab.UpstreamName)
	start := func() *lab.Device {
		return lab.StartDevice(b, im, lab.DeviceOptions{
			PrivateKey: other, Addresses: []string{"10.77.0.2/24", "fd77::2/64"},
			Peers: []lab.Peer{{PublicKey: key.Public(), AllowedIPs: []string{"10.77.0.1/32", "fd77::1/128"}}},
		})
	}
	d := start()
	before := prepare(a, fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.77.0.1/24, fd77::1/64\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.77.0.2/32, fd77::2/128\nEndpoint = peer.example:51820\n", key, other.Public()))
	r := up(t, bin, a)
	traffic.WaitPing(t, a, lab.TunnelB4)
	waitEndpoint(t, r, other.Public(), outerPort(lab.B4))

	d.Process.Kill()
	moved := netip.MustParseAddr("192.0.2.77")
	b.AddAddress("eth0", moved.String()+"/24")
	b.DelAddress("eth0", lab.B4.String()+"/24")
	a.WriteFile("/etc/hosts", fmt.Sprintf(hosts, moved), 0o644)
	start()
	// 15 s until the router misses an answer, then the first handshakes to the
	// old address.
	lab.Wait(t, 2*lab.Patience, "ping to where the name leads now", func() error {
		if n, err := traffic.Ping(a, lab.TunnelB4, 1, 56); err != nil || n != 1 {
			return fmt.Errorf("%d answers, %v", n, err)
		}
		return nil
	})
	waitEndpoint(t, r, other.Public(), netip.AddrPortFrom(moved, lab.Port))
	wantPings(t, a, b)
	down(t, r, before)
}
