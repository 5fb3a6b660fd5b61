// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A NAT is what stands between a machine and the core of an [Internet], in the words
// of RFC 4787.
type NAT string

const (
	// NoNAT is a machine with a public address.
	NoNAT NAT = ""
	// EasyNAT maps a port of the machine to one port outside, whoever the machine
	// speaks to (endpoint-independent mapping), and lets in only what comes from an
	// address and port that the machine has sent to (address and port-dependent
	// filtering). Most homes.
	EasyNAT NAT = "easy"
	// ConeNAT maps as EasyNAT does and lets everyone in at that port
	// (endpoint-independent filtering).
	ConeNAT NAT = "cone"
	// HardNAT maps to another random port for each address and port that the machine
	// speaks to (address and port-dependent mapping and filtering). Mobile networks
	// and offices.
	HardNAT NAT = "hard"
)

// wan is the gateway's interface to the core.
const wan = "wan"

// inner is the address of the machine behind every NAT.
var inner = netip.MustParseAddr("192.168.1.2")

// mappedBase is what the first mapping of EasyNAT and ConeNAT makes of [Port]. It is
// another port so that nothing works by taking one for the other.
const mappedBase = 41820

// startNAT makes the site's gateway translate and filter.
func (s *Site) startNAT() {
	s.Gateway.NFT(fmt.Sprintf(`table inet lab {
		counter refused {}
		chain in { type filter hook input priority 0;
			# An accepted datagram would take the port from the mapping that the
			# machine is about to make.
			iifname %[1]s meta l4proto udp ct state new counter name refused drop
		}
		chain forward { type filter hook forward priority 0;
			iifname %[1]s ct status dnat accept
			iifname %[1]s ct state new counter name refused drop
		}
		}`, wan))
	s.loadNAT()
}

// loadNAT replaces the rules of translation and forgets every mapping.
func (s *Site) loadNAT() {
	s.Gateway.t.Helper()
	var pre, post string
	switch s.NAT {
	case ConeNAT:
		pre = fmt.Sprintf("iifname %s udp dport %d dnat to %s:%d", wan, s.Mapped().Port(), inner, Port)
		fallthrough
	case EasyNAT:
		post = fmt.Sprintf("oifname %s udp sport %d snat to %s", wan, Port, s.Mapped())
	case HardNAT:
		post = fmt.Sprintf("oifname %s meta l4proto udp snat to %s random,fully-random", wan, s.Outer())
	}
	s.Gateway.NFT(fmt.Sprintf(`table ip nat
		delete table ip nat
		table ip nat {
		chain pre { type nat hook prerouting priority -100;
			%s
		}
		chain post { type nat hook postrouting priority 100;
			%s
			# The kernel keeps the port where it can.
			oifname %s snat to %s
		}
		}`, pre, post, wan, s.Outer()))
	s.Forget()
}

// Mapped returns where others see [Port] of the machine. Behind a HardNAT the port is
// 0, as it is another for each of them.
func (s *Site) Mapped() netip.AddrPort {
	port := uint16(0)
	switch s.NAT {
	case NoNAT:
		port = Port
	case EasyNAT, ConeNAT:
		port = uint16(mappedBase + s.mapped)
	}
	return netip.AddrPortFrom(s.Outer(), port)
}

// Forget makes the NAT forget all mappings, as after a restart. EasyNAT and ConeNAT
// make the same ones again.
func (s *Site) Forget() {
	s.Gateway.t.Helper()
	if err := s.Gateway.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }); err != nil {
		s.Gateway.t.Fatalf("host %s: forget the mappings: %v", s.Gateway.Name, err)
	}
}

// Rebind makes the NAT forget all mappings and map to other ports from now on. What
// comes to the old ones is dropped.
func (s *Site) Rebind() {
	s.Gateway.t.Helper()
	s.mapped++
	s.loadNAT()
}

// Move gives the site another outer address, of the NAT if there is one, and takes the
// old one away.
func (s *Site) Move() {
	s.Host.t.Helper()
	h, ifname, old := s.Host, "eth0", s.Outer()
	if s.Gateway != nil {
		h, ifname = s.Gateway, wan
	}
	s.moved++
	h.AddAddress(ifname, s.Outer().String()+"/24")
	if s.Gateway != nil {
		s.mapped++
		s.loadNAT()
	}
	h.DelAddress(ifname, old.String()+"/24")
}

// SetMappingTimeout sets how many seconds a mapping of UDP lives when nothing passes.
func (s *Site) SetMappingTimeout(seconds int) {
	s.Gateway.t.Helper()
	for _, name := range []string{"nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"} {
		s.Gateway.Sysctl("net/netfilter/"+name, strconv.Itoa(seconds))
	}
}

// Mappings returns how many flows of UDP over IPv4 the NAT knows.
func (s *Site) Mappings() int {
	s.Gateway.t.Helper()
	n := 0
	err := s.Gateway.Do(func() error {
		flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		for _, f := range flows {
			if f.Forward.Protocol == unix.IPPROTO_UDP {
				n++
			}
		}
		return err
	})
	if err != nil {
		s.Gateway.t.Fatalf("host %s: list the mappings: %v", s.Gateway.Name, err)
	}
	return n
}

// Refused returns how many packets from outside the NAT or firewall did not let in.
func (s *Site) Refused() int64 {
	s.Gateway.t.Helper()
	return s.Gateway.NFTCounter("refused")
}
