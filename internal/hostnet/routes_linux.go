// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// setRoutes adds the ordinary routes of p that are missing, then removes those
// that are not part of it.
func (s *State) setRoutes(ctx context.Context, o *Options, p plan) error {
	var own [2][]netip.Prefix // networks that the interface reaches by other routes than ours
	if (o.Table.Mode == TableAuto || o.Table.Mode == TableAlone) && len(p.routes) > 0 {
		for _, f := range []family{v4, v6} {
			list, err := listRoutes(f, tableMain, s.index)
			if err != nil {
				return stepError("list routes", "of "+s.name, err)
			}
			for _, r := range list {
				q := prefixOf(r.Dst)
				if _, ours := s.did.routes[route{prefix: q, table: tableMain}]; !ours {
					own[f] = append(own[f], q)
				}
			}
		}
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE) // one socket for what may be thousands of routes
	if err != nil {
		return stepError("add routes", "to "+s.name, err)
	}
	defer h.Close()
	want := make(map[route]bool, len(p.routes))
	for _, r := range p.routes {
		want[r] = true
		if _, there := s.did.routes[r]; there || covered(r.prefix, own[familyOf(r.prefix.Addr())]) {
			continue
		}
		if err := s.addRoute(ctx, h, r); err != nil {
			return err
		}
	}
	for _, r := range s.routesDone() {
		if !want[r] {
			if err := s.removeRoute(ctx, h, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeRoutes removes all ordinary routes.
func (s *State) removeRoutes(ctx context.Context) error {
	if len(s.did.routes) == 0 {
		return nil
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return stepError("remove routes", "to "+s.name, err)
	}
	defer h.Close()
	var errs error
	for _, r := range s.routesDone() {
		errs = errors.Join(errs, s.removeRoute(ctx, h, r))
	}
	return errs
}

// routesDone returns the routes that were added, in a fixed order.
func (s *State) routesDone() []route {
	return slices.SortedFunc(maps.Keys(s.did.routes), func(a, b route) int { return a.prefix.Compare(b.prefix) })
}

func (s *State) addRoute(ctx context.Context, h *netlink.Handle, r route) error {
	err := s.step(ctx, "add route", s.routeText(r), func() error {
		err := h.RouteAdd(s.netlinkRoute(r))
		switch {
		case errors.Is(err, unix.EEXIST):
			return hint(err, "another interface has a route to the same network: take it out of AllowedIPs, or give Table another table")
		case errors.Is(err, unix.ENETDOWN):
			return hint(err, "the interface was set down meanwhile")
		}
		return err
	})
	if err == nil {
		s.did.routes[r] = struct{}{}
	}
	return err
}

func (s *State) removeRoute(ctx context.Context, h *netlink.Handle, r route) error {
	err := s.undo(ctx, "remove route", s.routeText(r), func() error { return h.RouteDel(s.netlinkRoute(r)) })
	if err == nil {
		delete(s.did.routes, r)
	}
	return err
}

func (s *State) routeText(r route) string {
	if r.table == tableMain {
		return fmt.Sprintf("%s to %s", r.prefix, s.name)
	}
	return fmt.Sprintf("%s to %s in table %d", r.prefix, s.name, r.table)
}

// netlinkRoute is what "ip route add PREFIX dev INTERFACE table TABLE" makes of
// its arguments. The protocol tells it from the kernel's own route to the
// network of an address, when it is removed.
func (s *State) netlinkRoute(r route) *netlink.Route {
	n := &netlink.Route{LinkIndex: s.index, Dst: ipNet(r.prefix), Table: int(r.table), Protocol: unix.RTPROT_BOOT}
	if r.prefix.Addr().Is4() {
		n.Scope = netlink.SCOPE_LINK
	}
	return n
}

// listRoutes lists the routes of one table, to one interface unless index is
// zero. The kernel does the selection where it can, so that a table of a million
// routes costs nothing (strict checking, Linux 4.20).
func listRoutes(f family, table uint32, index int) ([]netlink.Route, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	_ = h.SetStrictCheck(true) // older kernels list everything; the library selects too
	mask := netlink.RT_FILTER_TABLE
	if index != 0 {
		mask |= netlink.RT_FILTER_OIF
	}
	routes, err := dump(func() ([]netlink.Route, error) {
		return h.RouteListFiltered(netlinkFamily(f), &netlink.Route{Table: int(table), LinkIndex: index}, mask)
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // no such table, or a kernel without IPv6
	}
	return routes, err
}

// resync forgets what was done and is not there any more, so that it is done
// again: somebody has removed it, or the kernel together with something else.
func (s *State) resync() error {
	for _, f := range []family{v4, v6} {
		there, err := s.addressesOf(f)
		if err != nil {
			return err
		}
		s.did.addresses = slices.DeleteFunc(s.did.addresses, func(p netip.Prefix) bool {
			return familyOf(p.Addr()) == f && !slices.Contains(there, p)
		})
		for _, table := range s.tablesDone(f) {
			if err := s.resyncTable(f, table); err != nil {
				return err
			}
		}
		if err := s.resyncTunnels(f); err != nil {
			return err
		}
	}
	return nil
}

// tablesDone returns the tables in which ordinary routes were added.
func (s *State) tablesDone(f family) []uint32 {
	tables := make(map[uint32]bool)
	for r := range s.did.routes {
		if familyOf(r.prefix.Addr()) == f {
			tables[r.table] = true
		}
	}
	return slices.Sorted(maps.Keys(tables))
}

func (s *State) resyncTable(f family, table uint32) error {
	list, err := listRoutes(f, table, s.index)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	there := make(map[netip.Prefix]bool, len(list))
	for _, r := range list {
		there[prefixOf(r.Dst)] = true
	}
	for r := range s.did.routes {
		if r.table == table && familyOf(r.prefix.Addr()) == f && !there[r.prefix] {
			delete(s.did.routes, r)
		}
	}
	return nil
}
