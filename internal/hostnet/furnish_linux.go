// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
)

// pingGroups is the range of groups whose members may ping without a privilege, over
// IPv6 too.
const pingGroups = "/proc/sys/net/ipv4/ping_group_range"

// Furnish makes the network namespace of the calling thread, which is new, one in
// which the tunnel is all there is: loopback is up, the interface has its addresses
// and its MTU and is up, and all routes to it, default routes too, are in the main
// table. The process's group may ping. Of o it looks at Logger, Interface, Addresses,
// MTU, TxQueueLen and AllowedIPs. An MTU of zero is worked out from the routes here, of which
// there are none.
//
// Nothing of it has to be taken back: it ends with the namespace.
func Furnish(ctx context.Context, o *Options) error {
	n, err := o.normalized()
	if err != nil {
		return err
	}
	n.Table = Table{Mode: TableAlone}
	n.DNS, n.DNSSearch = nil, nil
	s := &State{name: n.Interface, ns: &namespace{}, log: n.Logger, did: done{routes: make(map[route]struct{})}}
	err = s.step(ctx, "set link up", "lo", func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		return err
	}
	err = s.step(ctx, "set queues of", s.name, func() error {
		link, err := netlink.LinkByName(s.name)
		if err != nil {
			return err
		}
		s.index = link.Attrs().Index
		if n.TxQueueLen == 0 {
			return nil
		}
		return netlink.LinkSetTxQLen(link, n.TxQueueLen)
	})
	if err != nil {
		return err
	}
	if err := s.reconcile(ctx, n); err != nil {
		return err
	}
	gid := os.Getegid()
	if err := os.WriteFile(pingGroups, fmt.Appendf(nil, "%d %d", gid, gid), 0); err != nil {
		s.log.Warn("ping needs a privilege", "err", err)
	}
	return nil
}
