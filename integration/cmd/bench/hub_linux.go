// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"net/netip"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// hubSize is the payload of the packets of the hub work, bytes.
const hubSize = 200

// measureHub measures one process with many peers. The peers are sockets in a
// second namespace, and packets are sealed and opened by this process.
func measureHub(s *scope, o options, im lab.Implementation, peers int, toHub bool) []result {
	net := lab.TwoHosts(1500).Build(s)
	a, b := net.Host("a"), net.Host("b")
	traffic.MakeHub(a)
	spokes, err := traffic.NewSpokes(b, lab.B4, peers, hubSize)
	s.check(err)
	s.Cleanup(func() { spokes.Close() })
	hub := lab.StartDevice(a, im, lab.DeviceOptions{
		Addresses: []string{traffic.HubPrefix.String()}, Peers: spokes.Peers(), Quiet: true,
	})
	s.check(spokes.Connect(a, hub.PublicKey(), netip.AddrPortFrom(lab.A4, lab.Port)))
	defer quietRuntime()()

	try := spokes.ToPeers
	if toHub {
		try = spokes.ToHub
	}
	return measureRates(s, o, try, o.hubRate, []end{{"hub", hub.Process}})
}
