// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/batching"
)

// groups are the open sockets of a Bind as Open, Close and Reconfigure see them:
// one group per family, on one port. A family may be missing, not both. Guarded
// by the life mutex of the Bind.
type groups struct {
	families []*family
	port     uint16
	ended    chan struct{} // closed when the receive functions are to end

	// promised: some sockets have no receive function until the device closes and
	// opens the Bind, as it was told to.
	promised bool
	// parked is set from that Close to that Open: nobody receives. It closes the
	// sockets when the Open does not come.
	parked *time.Timer
}

// A family is the group of one address family.
type family struct {
	network string
	group   group
	// open are the members, and those that left and are not read to their end.
	// Each has a receive function, unless they are promised or parked.
	open []socket
}

// openTries bounds how often a random port is tried for both families.
const openTries = 100

// openGroups opens n sockets of each family on the port; port 0 means one that is
// free in both. A family that the host does not have is left out.
func openGroups(listen listenFunc, on [2]netip.Addr, port uint16, n int, o *batching.Options) (*groups, error) {
	for try := 0; ; try++ {
		g, err := openPair(listen, on, port, n, o)
		if err == nil {
			return g, nil
		}
		if port != 0 || try >= openTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

func openPair(listen listenFunc, on [2]netip.Addr, port uint16, n int, o *batching.Options) (*groups, error) {
	g := &groups{port: port, ended: make(chan struct{})}
	for i, network := range []string{"udp4", "udp6"} {
		if !on[i].IsValid() {
			continue
		}
		c, err := listen(network, netip.AddrPortFrom(on[i], g.port), n, o)
		if noFamily(err) {
			continue
		}
		if err != nil {
			_ = g.close() // the error that counts is the first
			return nil, fmt.Errorf("listen on %s port %d: %w", network, g.port, err)
		}
		g.port = c.LocalAddr().Port()
		g.families = append(g.families, &family{network: network, group: c, open: c.Members()})
	}
	if len(g.families) == 0 {
		return nil, fmt.Errorf("listen on port %d: %w", port, syscall.EAFNOSUPPORT)
	}
	return g, nil
}

// noFamily reports whether err says that the host does not have the address
// family at all.
func noFamily(err error) bool { return errors.Is(err, syscall.EAFNOSUPPORT) }

// sockets returns the members for those who send.
func (g *groups) sockets(asked int) *sockets {
	s := &sockets{port: g.port, asked: asked}
	for _, f := range g.families {
		if f.network == "udp4" {
			s.v4 = f.group.Members()
		} else {
			s.v6 = f.group.Members()
		}
	}
	return s
}

// sized reports whether every family has n members.
func (g *groups) sized(n int) bool {
	for _, f := range g.families {
		if len(f.group.Members()) != n {
			return false
		}
	}
	return true
}

// resize makes every family have n members, and reports whether any was added.
// Those that left stay open until they are read to their end.
func (g *groups) resize(n int) (grown bool, err error) {
	for _, f := range g.families {
		added, e := f.group.Resize(n)
		f.open = append(f.open, added...)
		grown = grown || len(added) > 0
		err = errors.Join(err, e)
	}
	return grown, err
}

// wake makes those who read members return, now and until unwake.
func (g *groups) wake() error { return g.setReadDeadline(time.Unix(1, 0)) }

func (g *groups) unwake() error { return g.setReadDeadline(time.Time{}) }

// setReadDeadline leaves out the sockets that left: they end by themselves.
func (g *groups) setReadDeadline(t time.Time) error {
	var errs error
	for _, f := range g.families {
		for _, s := range f.group.Members() {
			errs = errors.Join(errs, s.SetReadDeadline(t))
		}
	}
	return errs
}

// forget drops a socket that was read to its end.
func (g *groups) forget(s socket) {
	for _, f := range g.families {
		f.open = slices.DeleteFunc(f.open, func(o socket) bool { return o == s })
	}
}

// reconfigure changes nothing when it fails: what one family refuses, the first
// one refuses.
func (g *groups) reconfigure(o *batching.Options) error {
	for _, f := range g.families {
		if err := f.group.Reconfigure(o); err != nil {
			return err
		}
	}
	return nil
}

func (g *groups) setMark(mark uint32) error {
	var errs error
	for _, f := range g.families {
		errs = errors.Join(errs, f.group.SetMark(mark))
	}
	return errs
}

func (g *groups) close() error {
	var errs error
	for _, f := range g.families {
		errs = errors.Join(errs, f.group.Close())
	}
	return errs
}
