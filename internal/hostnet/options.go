// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
)

// TableMode says where routes go.
type TableMode uint8

// The values of TableMode, named after the values of wg-quick's Table key.
const (
	TableAuto  TableMode = iota // main table; default routes get a table of their own
	TableOff                    // no routes
	TableID                     // all routes, default routes too, go to one given table
	TableAlone                  // main table, default routes too: nothing else is in the namespace
)

// A Table is the Table key of a configuration file.
type Table struct {
	Mode TableMode
	ID   uint32 // with TableID: the table's number; ignored when Name is set
	Name string // with TableID: a name from iproute2's rt_tables, or a number
}

// Options describe the wanted state of the host. Only Interface is required.
type Options struct {
	// Logger receives state changes; nil discards them.
	Logger *slog.Logger

	// HookOutput receives what hooks and resolvconf print. An *os.File is handed
	// to them as it is; other writers are written to by one goroutine at a time.
	// Nil logs every line.
	HookOutput io.Writer

	// Interface is the name of the interface, which exists already.
	Interface string

	// Addresses are the interface's addresses with their prefix lengths.
	Addresses []netip.Prefix

	// MTU is the interface's MTU in bytes. Zero computes it: the smallest MTU of
	// the routes to Endpoints, or of the default route, or 1500, minus 80 for
	// what WireGuard adds.
	MTU int

	// TxQueueLen is how many packets the kernel keeps in each queue of the interface.
	// Zero leaves it as it is. Only [Furnish] looks at it: in a user namespace no
	// descriptor of a TUN sets it, as the router does elsewhere.
	TxQueueLen int

	// Endpoints are the addresses of the peers outside the tunnel.
	Endpoints []netip.Addr

	// AllowedIPs are the prefixes of all peers.
	AllowedIPs []netip.Prefix

	// Table says where routes go.
	Table Table

	// FwMark is the configured mark of the tunnel's own packets, which is also
	// the number of the table for default routes. Zero lets Up choose the first
	// free number from 51820 when it needs one; it then calls SetFwMark, and the
	// device must keep that mark through later reloads.
	FwMark uint32

	// SetFwMark sets the mark on the device's sockets. It is called, with the
	// chosen mark, only if FwMark is zero and a default route needs a mark, and
	// with zero when a failed Up or an Update takes that route back. Down, after
	// which the device is closed, does not call it.
	SetFwMark func(uint32) error

	// DNS are the name servers and DNSSearch the search domains to register
	// with resolvconf. Without servers nothing is registered.
	DNS       []netip.Addr
	DNSSearch []string

	// Hooks are run one after the other by bash (or sh), with %i replaced by the
	// interface's name. Update runs none.
	PreUp, PostUp, PreDown, PostDown []string

	// RemoveInterface is called by Down between taking everything back and the
	// PostDown hooks, which wg-quick(8) runs when the interface is gone. Nil
	// leaves the interface there.
	RemoveInterface func() error
}

// normalized returns a copy that shares nothing with o: addresses without
// 4in6 forms, prefixes masked, duplicates gone, AllowedIPs longest first.
func (o *Options) normalized() (*Options, error) {
	if o == nil || o.Interface == "" {
		return nil, errors.New("host network: no interface name")
	}
	n := *o
	if n.Logger == nil {
		n.Logger = slog.New(slog.DiscardHandler)
	}
	if n.MTU < 0 {
		return nil, fmt.Errorf("mtu %d of %s: less than zero", n.MTU, n.Interface)
	}
	var err error
	if n.Addresses, err = unmapped("address", o.Addresses); err != nil {
		return nil, err
	}
	if n.AllowedIPs, err = unmapped("allowed ip", o.AllowedIPs); err != nil {
		return nil, err
	}
	for i, p := range n.AllowedIPs {
		n.AllowedIPs[i] = p.Masked()
	}
	n.Addresses, n.AllowedIPs = unique(n.Addresses), unique(n.AllowedIPs)
	slices.SortStableFunc(n.AllowedIPs, func(a, b netip.Prefix) int { return cmp.Compare(b.Bits(), a.Bits()) })
	n.Endpoints = slices.Clone(o.Endpoints)
	for i, a := range n.Endpoints {
		n.Endpoints[i] = a.Unmap()
	}
	n.DNS, n.DNSSearch = slices.Clone(o.DNS), slices.Clone(o.DNSSearch)
	n.PreUp, n.PostUp = slices.Clone(o.PreUp), slices.Clone(o.PostUp)
	n.PreDown, n.PostDown = slices.Clone(o.PreDown), slices.Clone(o.PostDown)
	return &n, nil
}

// unmapped returns a copy of ps with 4in6 prefixes turned into IPv4 ones.
func unmapped(what string, ps []netip.Prefix) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(ps))
	for _, p := range ps {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if !p.IsValid() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%s %s: not an IP prefix", what, p)
		}
		out = append(out, p)
	}
	return out, nil
}

// unique removes repetitions and keeps the order.
func unique(ps []netip.Prefix) []netip.Prefix {
	seen := make(map[netip.Prefix]bool, len(ps))
	return slices.DeleteFunc(ps, func(p netip.Prefix) bool {
		again := seen[p]
		seen[p] = true
		return again
	})
}
