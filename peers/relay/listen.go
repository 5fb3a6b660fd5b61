// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/tunrouter/tunrouter/batching"
)

// openTries bounds how often a random port is tried for all addresses.
const openTries = 100

// listen opens a group of sockets for each address of o. Those without a port
// share one: o.Port, or one that is free for all of them.
func listen(o *Options) ([]*batching.Group, error) {
	for try := 0; ; try++ {
		groups, err := listenOnce(o)
		if err == nil || o.Port != 0 || try >= openTries || !errors.Is(err, syscall.EADDRINUSE) {
			return groups, err
		}
	}
}

func listenOnce(o *Options) (groups []*batching.Group, err error) {
	defer func() {
		if err != nil {
			closeGroups(groups) // the error that counts is the first
			groups = nil
		}
	}()
	addrs, all := o.Listen, false
	if len(addrs) == 0 {
		all = true
		addrs = []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv4Unspecified(), 0),
			netip.AddrPortFrom(netip.IPv6Unspecified(), 0),
		}
	}
	port := o.Port
	for _, a := range addrs {
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		shared := a.Port() == 0
		if shared {
			a = netip.AddrPortFrom(a.Addr(), port)
		}
		network := "udp6"
		if a.Addr().Is4() {
			network = "udp4"
		}
		g, err := batching.ListenGroup(network, a, o.Sockets, &o.Socket)
		if all && errors.Is(err, syscall.EAFNOSUPPORT) {
			continue // a host without the family
		}
		if err != nil {
			return groups, fmt.Errorf("listen on %v: %w", a, err)
		}
		if shared {
			port = g.LocalAddr().Port()
		}
		groups = append(groups, g)
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("listen on port %d: %w", port, syscall.EAFNOSUPPORT)
	}
	return groups, nil
}

func closeGroups(groups []*batching.Group) error {
	var errs error
	for _, g := range groups {
		errs = errors.Join(errs, g.Close())
	}
	return errs
}
