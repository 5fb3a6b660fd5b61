// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"net/netip"
)

// Addresses inside the tunnel of a [Tunnel].
var (
	TunnelA4, TunnelA6 = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd77::1")
	TunnelB4, TunnelB6 = netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("fd77::2")
)

// Port is the listen port of both ends of a [Tunnel].
const Port = 51820

// TunnelOptions describe a [Tunnel].
type TunnelOptions struct {
	A, B         Implementation
	HostA, HostB *Host
	// OuterA and OuterB are the addresses of the hosts that the tunnel runs
	// between.
	OuterA, OuterB netip.Addr
	// ForgetB configures A without an endpoint of B: B speaks first. ForgetA
	// likewise.
	ForgetA, ForgetB bool
	PresharedKey     Key
	MTU              int // 0 = 1420
	Keepalive        int // of both, seconds
	Quiet            bool
}

// A Tunnel is two devices that are each other's peer. A has [TunnelA4] and
// [TunnelA6], B has [TunnelB4] and [TunnelB6].
type Tunnel struct{ A, B *Device }

// StartTunnel starts the two devices. No packet has passed when it returns,
// unless there is a keepalive.
func StartTunnel(o TunnelOptions) *Tunnel {
	o.HostA.t.Helper()
	a, b := o.Ends()
	return &Tunnel{A: StartDevice(o.HostA, o.A, a), B: StartDevice(o.HostB, o.B, b)}
}

// Ends returns the two devices, with new keys.
func (o TunnelOptions) Ends() (a, b DeviceOptions) {
	keyA, keyB := NewKey(), NewKey()
	a = DeviceOptions{
		PrivateKey: keyA, MTU: o.MTU,
		Addresses: []string{TunnelA4.String() + "/24", TunnelA6.String() + "/64"},
		Peers:     []Peer{{PublicKey: keyB.Public(), Endpoint: netip.AddrPortFrom(o.OuterB, Port), AllowedIPs: []string{TunnelB4.String() + "/32", TunnelB6.String() + "/128"}}},
	}
	b = DeviceOptions{
		PrivateKey: keyB, MTU: o.MTU,
		Addresses: []string{TunnelB4.String() + "/24", TunnelB6.String() + "/64"},
		Peers:     []Peer{{PublicKey: keyA.Public(), Endpoint: netip.AddrPortFrom(o.OuterA, Port), AllowedIPs: []string{TunnelA4.String() + "/32", TunnelA6.String() + "/128"}}},
	}
	a.Quiet, b.Quiet = o.Quiet, o.Quiet
	for _, p := range []*Peer{&a.Peers[0], &b.Peers[0]} {
		p.PresharedKey, p.Keepalive = o.PresharedKey, o.Keepalive
	}
	if o.ForgetA {
		b.Peers[0].Endpoint = netip.AddrPort{}
	}
	if o.ForgetB {
		a.Peers[0].Endpoint = netip.AddrPort{}
	}
	return a, b
}

// mtu returns the MTU inside the tunnel.
func (o TunnelOptions) mtu() int {
	if o.MTU == 0 {
		return 1420
	}
	return o.MTU
}

// StartPair is [StartTunnel] for programs without a control socket too, of
// which both ends run the same; those have IPv4 only inside the tunnel.
func StartPair(o TunnelOptions) (a, b *Process) {
	o.HostA.t.Helper()
	if (o.A.Nebula == nil) != (o.B.Nebula == nil) {
		o.HostA.t.Fatalf("%s and %s do not speak the same", o.A.Name, o.B.Name)
	}
	if o.A.Nebula != nil {
		return startNebula(o)
	}
	t := StartTunnel(o)
	return t.A.Process, t.B.Process
}

// CountTypes makes the host count the WireGuard messages it sends and receives
// by type, in named counters sent1, received1, …; see [Host.NFTCounter].
func (h *Host) CountTypes() {
	h.t.Helper()
	ruleset := "table inet lab {\n"
	for typ := 1; typ <= 4; typ++ {
		ruleset += fmt.Sprintf("counter sent%d {}\ncounter received%d {}\n", typ, typ)
	}
	for _, c := range []struct{ name, hook string }{{"sent", "output"}, {"received", "input"}} {
		ruleset += fmt.Sprintf("chain %s { type filter hook %s priority 0;\n", c.name, c.hook)
		for typ := 1; typ <= 4; typ++ {
			// The first byte behind the UDP header; the next three are zero.
			ruleset += fmt.Sprintf("meta l4proto udp @th,64,32 0x%02x000000 counter name %s%d\n", typ, c.name, typ)
		}
		ruleset += "}\n"
	}
	h.NFT(ruleset + "}\n")
}
