// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RouteInterface returns the index of the interface through which the host
// sends packets with the given mark to dst, from src if that is valid. The
// error wraps [ErrNoRoute] or [ErrSourceGone] in these two cases. It asks the
// kernel, in the network namespace of the calling thread.
func RouteInterface(dst, src netip.Addr, mark uint32) (int, error) {
	r, err := lookup(dst, src, mark)
	if err != nil {
		return 0, err
	}
	return r.LinkIndex, nil
}

// lookup asks the kernel for the route to dst.
func lookup(dst, src netip.Addr, mark uint32) (*netlink.Route, error) {
	dst, src = dst.Unmap(), src.Unmap()
	if src.IsUnspecified() {
		src = netip.Addr{}
	}
	if !dst.IsValid() || src.IsValid() && src.Is4() != dst.Is4() {
		return nil, fmt.Errorf("route from %s to %s: %w", src, dst, unix.EAFNOSUPPORT)
	}
	o := &netlink.RouteGetOptions{Mark: mark}
	if src.IsValid() {
		o.SrcAddr = src.WithZone("").AsSlice()
	}
	if zone := dst.Zone(); zone != "" {
		if index, err := strconv.Atoi(zone); err == nil {
			o.OifIndex = index
		} else {
			o.Oif = zone
		}
	}
	routes, err := netlink.RouteGetWithOptions(dst.WithZone("").AsSlice(), o)
	if err == nil && (len(routes) == 0 || leadsNowhere(routes[0].Type)) {
		err = unix.ENETUNREACH
	}
	// Linux answers ENETUNREACH for a foreign IPv4 source, and does not look at an
	// IPv6 one.
	if src.IsValid() && (err != nil || src.Is6()) && !isLocal(src) {
		return nil, fmt.Errorf("route from %s to %s: %w", src, dst, ErrSourceGone)
	}
	switch {
	case err == nil:
		return &routes[0], nil
	case isNoRoute(err):
		return nil, fmt.Errorf("route to %s: %w: %w", dst, ErrNoRoute, err)
	}
	return nil, fmt.Errorf("route to %s: %w", dst, err)
}

// isNoRoute reports whether err is one of the answers for a destination that
// cannot be reached: EINVAL comes from a route of type blackhole, EACCES from
// one of type prohibit, the others from a missing zone.
func isNoRoute(err error) bool {
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENODEV) || isNotFound(err)
}

func leadsNowhere(routeType int) bool {
	switch routeType {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return true
	}
	return false
}

// isLocal reports whether a is an address of the host. When in doubt it is.
func isLocal(a netip.Addr) bool {
	if a.IsLinkLocalUnicast() {
		return hasAddress(a)
	}
	routes, err := netlink.RouteGet(a.WithZone("").AsSlice())
	if err != nil {
		return !isNoRoute(err)
	}
	return len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}

// hasAddress looks through the addresses of all interfaces: a link-local
// address has no route without a zone.
func hasAddress(a netip.Addr) bool {
	list, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlinkFamily(familyOf(a))) })
	if err != nil {
		return true
	}
	for i := range list {
		if prefixOf(list[i].IPNet).Addr() == a.WithZone("") {
			return true
		}
	}
	return false
}
