// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"io/fs"
	"net/netip"
	"slices"
	"strings"
)

// A route is one route to the interface.
type route struct {
	prefix netip.Prefix
	table  uint32
}

// A plan is what Options come to on this host: which addresses, which ordinary
// routes (longest first), and for which families a default route by mark.
type plan struct {
	addresses []netip.Prefix
	routes    []route
	defaults  [2]bool // by family index
	// skipped is true when something was left out because IPv6 is off.
	skipped bool
	// leak is true when a default route was left out although IPv6 packets can
	// leave through other interfaces.
	leak bool
}

// family is an index: 0 is IPv4, 1 is IPv6.
type family int

const (
	v4 family = iota
	v6
)

func (f family) String() string {
	if f == v6 {
		return "ipv6"
	}
	return "ipv4"
}

// anywhere is the prefix of all addresses of the family.
func (f family) anywhere() netip.Prefix {
	if f == v6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return v4
	}
	return v6
}

// newPlan works out the plan. table is the number that o.Table stands for in
// TableID mode.
func newPlan(o *Options, table uint32, ipv6 ipv6Support) plan {
	var p plan
	for _, a := range o.Addresses {
		if a.Addr().Is6() && !ipv6.here {
			p.skipped = true
			continue
		}
		p.addresses = append(p.addresses, a)
	}
	if o.Table.Mode == TableOff {
		return p
	}
	for _, a := range o.AllowedIPs {
		byMark := o.Table.Mode == TableAuto && a.Bits() == 0
		if a.Addr().Is6() && !ipv6.here {
			p.skipped = true
			p.leak = p.leak || byMark && ipv6.elsewhere
			continue
		}
		switch {
		case byMark:
			p.defaults[familyOf(a.Addr())] = true
		case o.Table.Mode == TableAuto, o.Table.Mode == TableAlone:
			p.routes = append(p.routes, route{prefix: a, table: tableMain})
		default:
			p.routes = append(p.routes, route{prefix: a, table: table})
		}
	}
	return p
}

// covered reports whether one of the networks contains all of p.
func covered(p netip.Prefix, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool {
		return n.Bits() <= p.Bits() && n.Contains(p.Addr())
	})
}

// ipv6Support says where IPv6 works.
type ipv6Support struct {
	here      bool // on the interface
	elsewhere bool // on any other interface except loopback
}

// probeIPv6 reads /proc/sys/net/ipv6, which is root, for the interface. An
// interface that is not listed there has an MTU too small for IPv6.
func probeIPv6(root fs.FS, name string) ipv6Support {
	var s ipv6Support
	entries, err := fs.ReadDir(root, "conf")
	if err != nil {
		return s // a kernel without IPv6
	}
	for _, e := range entries {
		if e.Name() == "all" || e.Name() == "default" || e.Name() == "lo" {
			continue
		}
		value, err := fs.ReadFile(root, "conf/"+e.Name()+"/disable_ipv6")
		if err != nil || strings.TrimSpace(string(value)) != "0" {
			continue
		}
		if e.Name() == name {
			s.here = true
		} else {
			s.elsewhere = true
		}
	}
	return s
}

// mainRulePriority is that of the system's own rule for the main table.
const mainRulePriority = 32766

// rulePriorities returns the priorities of the rule to the tunnel's table and
// of the rule before it that prefers every better route of the main table.
// others are the priorities of everybody else's rules in the kernel's order,
// ours those of rules that stay or are about to go.
//
// The two go right before those of the system, the place where the kernel puts
// a rule without priority: one below the second rule in the list
// (fib_default_rule_pref, Linux 6.18). Numbers are given explicitly so that two
// tunnels do not share one rule and taking back finds exactly its own.
func rulePriorities(others, ours []int) (tunnel, suppress int) {
	second := mainRulePriority
	if len(others) > 1 && others[1] > 2 {
		second = others[1]
	}
	for p := second - 1; p > 1; p-- {
		if !slices.Contains(ours, p) && !slices.Contains(ours, p-1) {
			return p, p - 1
		}
	}
	return second - 1, second - 2
}
