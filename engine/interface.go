// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net"

	"github.com/tunrouter/tunrouter/internal/hostnet"
)

// openInterface finds the interface of the tunnel, where this host has one: it must not
// be a path to the peers behind it, and the kernel counts what it drops there. Both go
// by its index, so a new name changes nothing.
func (e *Engine) openInterface() {
	if e.netdev != nil || e.opts.Elsewhere || e.tun.File() == nil {
		return
	}
	link, err := net.InterfaceByName(e.name)
	if err != nil {
		return // gone already: the router is about to end
	}
	e.inside = newInside(link.Index)
	e.bind.SetInside(e.inside.leadsTo)
	if e.link, err = hostnet.NewLinkWatch(link.Index); err != nil {
		e.link = nil
		e.log.Info("the kernel does not tell what it counts for the tunnel interface", "err", err)
	}
}
