// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// RelayPort is the port of a relay server in the lab.
const RelayPort = 3479

// A RelayServer is a router that only forwards for others.
type RelayServer struct {
	Host    *Host
	Key     Key // private
	Process *Process
}

// StartRelay runs "router relay" for clients with the public keys, and waits until
// it listens. It ends with the test.
func StartRelay(h *Host, path string, clients []Key) *RelayServer {
	h.t.Helper()
	r := &RelayServer{Host: h, Key: NewKey()}
	const file = "/etc/wireguard/relay.conf"
	var b strings.Builder
	fmt.Fprintf(&b, "[Interface]\nPrivateKey = %s\n\n[RelayServer]\nListenPort = %d\n", r.Key, RelayPort)
	for _, key := range clients {
		fmt.Fprintf(&b, "AllowedKeys = %s\n", key)
	}
	h.WriteFile(file, b.String(), 0o600)
	r.Process = h.Start(Command{Path: path, Args: []string{"relay", file}})
	Wait(h.t, Patience, "the relay on "+h.Name, func() error {
		if !r.Process.Running() {
			h.t.Fatalf("host %s: router relay ended:\n%s", h.Name, r.Process.Output())
		}
		if h.Output("ss", "-Hlun", fmt.Sprintf("sport = %d", RelayPort)) == "" {
			return fmt.Errorf("not listening: %s", r.Process.Output())
		}
		return nil
	})
	return r
}

// Section returns the [Relay] section of a client that reaches the relay at addr.
func (r *RelayServer) Section(addr netip.Addr) string {
	return fmt.Sprintf("[Relay]\nPublicKey = %s\nEndpoint = %s\n", r.Key.Public(), netip.AddrPortFrom(addr, RelayPort))
}

// Addresses of the router of [ThroughRouter].
var (
	RouterA4 = netip.MustParseAddr("192.0.2.254")    // where a sees it
	RouterC4 = netip.MustParseAddr("198.51.100.254") // where c does
)

// A RelayedTunnel is the two ends of a tunnel on the hosts a and c of
// [ThroughRouter], and a relay on the router between them: the direct path and the
// one over the relay take the same links.
type RelayedTunnel struct {
	HostA, HostC, HostR *Host
	A, C, Relay         *Process
}

// RelayedOptions describe a [RelayedTunnel].
type RelayedOptions struct {
	// Program runs on all three hosts: the router or Nebula.
	Program Implementation
	// Direct lets the ends reach each other past the relay.
	Direct bool
	MTU    int // inside the tunnel, 0 = 1420
	Quiet  bool
}

// StartRelayed starts the relay and both ends, which have [TunnelA4] and
// [TunnelB4]. No packet has passed when it returns.
func StartRelayed(t T, o RelayedOptions) *RelayedTunnel {
	t.Helper()
	n := ThroughRouter(1500).Build(t)
	r := &RelayedTunnel{HostA: n.Host("a"), HostC: n.Host("c"), HostR: n.Host("r")}
	verdict := "drop"
	if o.Direct {
		verdict = "accept"
	}
	// WireGuard messages over the router's relay have a Geneve header of protocol
	// 0x7a12 and no control bit behind that of UDP.
	r.HostR.NFT(fmt.Sprintf(`table inet lab {
		counter forwarded {}
		counter relayed {}
		chain forward { type filter hook forward priority 0; counter name forwarded %s; }
		chain input { type filter hook input priority 0; udp dport %d @th,64,32 0x00007a12 counter name relayed; }
	}`, verdict, RelayPort))
	if o.Program.Nebula != nil {
		r.startNebula(o)
		return r
	}
	a, c := TunnelOptions{OuterA: A4, OuterB: C4, MTU: o.MTU, Quiet: o.Quiet}.Ends()
	relay := StartRelay(r.HostR, o.Program.Path, []Key{a.PrivateKey.Public(), c.PrivateKey.Public()})
	r.Relay = relay.Process
	for _, e := range []struct {
		host    *Host
		process **Process
		options DeviceOptions
		relayAt netip.Addr
	}{{r.HostA, &r.A, a, RouterA4}, {r.HostC, &r.C, c, RouterC4}} {
		im := o.Program
		im.Sections = strings.TrimLeft(im.Sections+"\n"+relay.Section(e.relayAt), "\n")
		*e.process = StartDevice(e.host, im, e.options).Process
	}
	return r
}

// Relayed returns how many packets of WireGuard, with segments of one superpacket
// as one, have come to the router's relay to be forwarded.
func (r *RelayedTunnel) Relayed() int64 { return r.HostR.NFTCounter("relayed") }
