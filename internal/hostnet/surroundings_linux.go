// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LookAround returns what the routing tables of the host say, seen from the
// interface called name, in the network namespace of the calling thread. It needs no
// privilege. Its cost is that of a dump of all routes.
func LookAround(name string) (*Surroundings, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("look up interface %s: %w", name, err)
	}
	s := new(Surroundings)
	addrs, err := link.Addrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", name, err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			s.Own = append(s.Own, prefixOf(n).Addr())
		}
	}
	for _, f := range []family{v4, v6} {
		routes, err := listAllRoutes(f)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for i := range routes {
			s.add(&routes[i], link.Index, f)
		}
	}
	return s, nil
}

func listAllRoutes(f family) ([]netlink.Route, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	routes, err := dump(func() ([]netlink.Route, error) {
		return h.RouteListFiltered(netlinkFamily(f), &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // a kernel without IPv6
	}
	return routes, err
}

// add notes what route r says, seen from the interface with the given index.
func (s *Surroundings) add(r *netlink.Route, index int, f family) {
	p := prefixOf(r.Dst)
	if !p.IsValid() && r.Dst != nil {
		return
	}
	switch r.Type {
	case unix.RTN_LOCAL, unix.RTN_BROADCAST, unix.RTN_ANYCAST, unix.RTN_MULTICAST:
		s.Local = append(s.Local, p)
		return
	case unix.RTN_UNICAST, unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT:
	default:
		return
	}
	ours := r.LinkIndex == index ||
		slices.ContainsFunc(r.MultiPath, func(h *netlink.NexthopInfo) bool { return h.LinkIndex == index })
	isDefault := !p.IsValid() || p.Bits() == 0
	switch {
	case ours && isDefault && f == v4:
		s.Default4 = true
	case ours && isDefault:
		s.Default6 = true
	case !ours && !isDefault:
		s.Networks = append(s.Networks, p)
	}
}
