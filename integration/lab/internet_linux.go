// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// An Internet is sites around a core that forwards between them, each site with
// addresses that every other one reaches:
//
//	core eth1 198.18.1.1/24 ─── 198.18.1.2/24 eth0 one           (public)
//	     eth2 198.18.2.1/24 ─── 198.18.2.2/24 wan two-nat
//	             two-nat lan 192.168.1.1/24 ─── 192.168.1.2/24 eth0 two
//
// Behind every NAT the addresses are the same, as they are in homes. With IPv6
// there are 2001:db8:1::2/64 at a public machine, and 2001:db8:2:1::2/64 behind a
// gateway that translates nothing and lets in only what was asked for.
//
// The core counts and cuts what goes from one site to another.
type Internet struct {
	Core *Host

	t     T
	sites []*Site
}

// A SiteSpec describes a site.
type SiteSpec struct {
	Name string
	NAT  NAT
	MTU  int // of the link to the core; 0 = 1500
}

// InternetOptions describe an [Internet].
type InternetOptions struct {
	Sites []SiteSpec // at most 250
	IPv6  bool
}

// A Site is one machine, with or without a NAT before it. Its methods that change
// something are for one goroutine at a time.
type Site struct {
	Name    string
	NAT     NAT
	Host    *Host // the machine
	Gateway *Host // the NAT before it; nil for a public machine

	index  int // from 1
	moved  int // how often the outer address has changed
	mapped int // how often the mapping has changed
}

// Build makes the hosts and links. They end with the test.
func (o InternetOptions) Build(t T) *Internet {
	t.Helper()
	tp := Topology{Routers: []string{"core"}}
	var sites []*Site
	for i, spec := range o.Sites {
		s := &Site{Name: spec.Name, NAT: spec.NAT, index: i + 1}
		sites = append(sites, s)
		s.connect(&tp, spec.MTU, o.IPv6)
	}
	n := tp.Build(t)
	in := &Internet{Core: n.Host("core"), t: t, sites: sites}
	for _, s := range sites {
		s.Host = n.Host(s.Name)
		if s.NAT != NoNAT {
			s.Gateway = n.Host(s.gatewayName())
			s.startNAT()
		}
	}
	in.Core.NFT(in.rules())
	return in
}

// connect adds the links, routers and routes of the site.
func (s *Site) connect(tp *Topology, mtu int, ipv6 bool) {
	addresses := func(four, six string) []string {
		if ipv6 {
			return []string{four, six}
		}
		return []string{four}
	}
	i, outer, ifname := s.index, s.Name, "eth0"
	if s.NAT != NoNAT {
		outer, ifname = s.gatewayName(), wan
	}
	tp.Links = append(tp.Links, Link{
		MTU: mtu,
		A:   End{"core", s.coreInterface(), addresses(fmt.Sprintf("198.18.%d.1/24", i), fmt.Sprintf("2001:db8:%d::1/64", i))},
		B:   End{outer, ifname, addresses(s.Outer().String()+"/24", fmt.Sprintf("2001:db8:%d::2/64", i))},
	})
	tp.Routes = append(tp.Routes, Route{outer, "0.0.0.0/0", fmt.Sprintf("198.18.%d.1", i)})
	if ipv6 {
		tp.Routes = append(tp.Routes, Route{outer, "::/0", fmt.Sprintf("2001:db8:%d::1", i)})
	}
	if s.NAT == NoNAT {
		return
	}
	tp.Routers = append(tp.Routers, outer)
	tp.Links = append(tp.Links, Link{
		A: End{outer, "lan", addresses("192.168.1.1/24", fmt.Sprintf("2001:db8:%d:1::1/64", i))},
		B: End{s.Name, "eth0", addresses(inner.String()+"/24", fmt.Sprintf("2001:db8:%d:1::2/64", i))},
	})
	tp.Routes = append(tp.Routes, Route{s.Name, "0.0.0.0/0", "192.168.1.1"})
	if ipv6 {
		tp.Routes = append(tp.Routes,
			Route{s.Name, "::/0", fmt.Sprintf("2001:db8:%d:1::1", i)},
			Route{"core", fmt.Sprintf("2001:db8:%d:1::/64", i), fmt.Sprintf("2001:db8:%d::2", i)})
	}
}

func (s *Site) gatewayName() string   { return s.Name + "-nat" }
func (s *Site) coreInterface() string { return fmt.Sprintf("eth%d", s.index) }

// Outer returns the IPv4 address that others see.
func (s *Site) Outer() netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18, byte(s.index), byte(2 + s.moved)})
}

// Outer6 returns the IPv6 address of the machine.
func (s *Site) Outer6() netip.Addr {
	a := [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 5: byte(s.index), 15: 2}
	if s.NAT != NoNAT {
		a[7] = 1
	}
	return netip.AddrFrom16(a)
}

// Site returns the site with the name.
func (in *Internet) Site(name string) *Site {
	in.t.Helper()
	for _, s := range in.sites {
		if s.Name == name {
			return s
		}
	}
	in.t.Fatalf("no site %q in the internet", name)
	return nil
}

// CoreInterface returns the interface of the core that leads to the site.
func (in *Internet) CoreInterface(s *Site) string { return s.coreInterface() }

// rules count what goes between sites, and drop what is cut. Interfaces stand for
// sites, so that both families and every address of a site are meant.
func (in *Internet) rules() string {
	var counters, rules strings.Builder
	for _, a := range in.sites {
		for _, b := range in.sites {
			if a != b {
				name := passedName(a, b)
				fmt.Fprintf(&counters, "counter %s {}\n", name)
				fmt.Fprintf(&rules, "iifname %s oifname %s counter name %s\n", a.coreInterface(), b.coreInterface(), name)
			}
		}
	}
	return fmt.Sprintf(`table inet lab {
		counter cut {}
		%s
		set cuts { type ifname . ifname; }
		chain forward { type filter hook forward priority 0;
			iifname . oifname @cuts counter name cut drop
			%s
		}
		}`, counters.String(), rules.String())
}

func passedName(a, b *Site) string { return fmt.Sprintf("passed_%d_%d", a.index, b.index) }

// Passed returns how many packets went from one site to another, directly.
func (in *Internet) Passed(from, to *Site) int64 {
	in.t.Helper()
	return in.Core.NFTCounter(passedName(from, to))
}

// CutPackets returns how many packets were dropped because of [Internet.Cut].
func (in *Internet) CutPackets() int64 {
	in.t.Helper()
	return in.Core.NFTCounter("cut")
}

// Cut ends the direct path between two sites, in both directions at once. What they
// exchange with others passes.
func (in *Internet) Cut(a, b *Site) {
	in.t.Helper()
	in.cuts("add", a, b, true)
}

// CutOneWay is [Internet.Cut] for one direction.
func (in *Internet) CutOneWay(from, to *Site) {
	in.t.Helper()
	in.cuts("add", from, to, false)
}

// Repair undoes [Internet.Cut].
func (in *Internet) Repair(a, b *Site) {
	in.t.Helper()
	in.cuts("delete", a, b, true)
}

// RepairOneWay undoes [Internet.CutOneWay].
func (in *Internet) RepairOneWay(from, to *Site) {
	in.t.Helper()
	in.cuts("delete", from, to, false)
}

func (in *Internet) cuts(what string, a, b *Site, both bool) {
	in.t.Helper()
	elements := fmt.Sprintf("%s . %s", a.coreInterface(), b.coreInterface())
	if both {
		elements += fmt.Sprintf(", %s . %s", b.coreInterface(), a.coreInterface())
	}
	in.Core.NFT(fmt.Sprintf("%s element inet lab cuts { %s }\n", what, elements))
}
