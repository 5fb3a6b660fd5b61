// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"net/netip"
)

// A Star is a hub with peers around it, each in a host of its own:
//
//	hub eth1 10.66.1.1/24 ── veth ── eth0 10.66.1.2/24 peer1
//	    eth2 10.66.2.1/24 ── veth ── eth0 10.66.2.2/24 peer2
//	    …
//
// Inside the tunnel the hub is [HubTunnel4] and [HubTunnel6], peer i
// [PeerTunnel4](i) and [PeerTunnel6](i), and what is for any other peer goes to
// the hub. Outside of the tunnel no peer reaches another.
type Star struct {
	Hub   *Host
	Peers []*Host // peer 1 first

	keys []Key // of the hub, then of the peers
	o    StarOptions
}

// Addresses of the hub of a [Star] inside the tunnel.
var (
	HubTunnel4 = netip.MustParseAddr("10.67.0.1")
	HubTunnel6 = netip.MustParseAddr("fd67::1")
)

// PeerTunnel4 returns the address of peer i, from 1, inside the tunnel.
func PeerTunnel4(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 67, 0, byte(i + 1)}) }

// PeerTunnel6 returns the IPv6 address of peer i inside the tunnel.
func PeerTunnel6(i int) netip.Addr {
	a := HubTunnel6.As16()
	a[15] = byte(i + 1)
	return netip.AddrFrom16(a)
}

// StarOptions describe a [Star].
type StarOptions struct {
	Peers int // at most 250
	// Program runs at the peers.
	Program Implementation
	// Forward makes the hub's kernel forward.
	Forward bool
	// MTU and PeerMTU are those inside the tunnel; 0 = 1420.
	MTU, PeerMTU int
	Quiet        bool
}

// NewStar makes the hosts and starts the program at the peers. The hub is started
// with [Star.StartHub].
func NewStar(t T, o StarOptions) *Star {
	t.Helper()
	var tp Topology
	for i := 1; i <= o.Peers; i++ {
		tp.Links = append(tp.Links, Link{
			A: End{"hub", fmt.Sprintf("eth%d", i), []string{starOuter(i, 1).String() + "/24"}},
			B: End{fmt.Sprintf("peer%d", i), "eth0", []string{starOuter(i, 2).String() + "/24"}},
		})
	}
	n := tp.Build(t)
	s := &Star{Hub: n.Host("hub"), keys: []Key{NewKey()}, o: o}
	forward := "0"
	if o.Forward {
		forward = "1"
	}
	s.Hub.Sysctl("net/ipv4/ip_forward", forward)
	s.Hub.Sysctl("net/ipv6/conf/all/forwarding", forward)
	for _, name := range []string{"all", "default"} {
		// What comes from one peer leaves for another by the same interface.
		s.Hub.Sysctl("net/ipv4/conf/"+name+"/send_redirects", "0")
	}
	for i := 1; i <= o.Peers; i++ {
		h, key := n.Host(fmt.Sprintf("peer%d", i)), NewKey()
		s.Peers, s.keys = append(s.Peers, h), append(s.keys, key)
		StartDevice(h, o.Program, DeviceOptions{
			PrivateKey: key, MTU: o.PeerMTU, Quiet: o.Quiet,
			Addresses: []string{PeerTunnel4(i).String() + "/32", PeerTunnel6(i).String() + "/128"},
			Peers: []Peer{{
				PublicKey: s.keys[0].Public(), Endpoint: netip.AddrPortFrom(starOuter(i, 1), Port),
				AllowedIPs: []string{"10.67.0.0/16", "fd67::/64"},
			}},
		})
	}
	return s
}

func starOuter(i, end int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 66, byte(i), byte(end)})
}

// PeerKey returns the public key of peer i.
func (s *Star) PeerKey(i int) Key { return s.keys[i].Public() }

// Peer returns the host of peer i.
func (s *Star) Peer(i int) *Host { return s.Peers[i-1] }

// HubOptions returns what the hub is started with.
func (s *Star) HubOptions() DeviceOptions {
	o := DeviceOptions{
		PrivateKey: s.keys[0], MTU: s.o.MTU, Quiet: s.o.Quiet,
		Addresses: []string{HubTunnel4.String() + "/16", HubTunnel6.String() + "/64"},
	}
	for i := 1; i <= s.o.Peers; i++ {
		o.Peers = append(o.Peers, Peer{
			PublicKey: s.PeerKey(i), Endpoint: netip.AddrPortFrom(starOuter(i, 2), Port),
			AllowedIPs: []string{PeerTunnel4(i).String() + "/32", PeerTunnel6(i).String() + "/128"},
		})
	}
	return o
}

// StartHub starts the hub.
func (s *Star) StartHub(im Implementation) *Device {
	s.Hub.t.Helper()
	return StartDevice(s.Hub, im, s.HubOptions())
}
