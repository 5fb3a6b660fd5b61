// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// firstAutoTable is where the search for a free table for default routes
// begins: the port number of WireGuard, as with wg-quick.
const firstAutoTable = 51820

// srcValidMark makes the reverse path filter look up the way back with the mark
// of the packet, which the firewall rules restore. Without it, strict filtering
// drops the answers of the peers.
const srcValidMark = "/proc/sys/net/ipv4/conf/all/src_valid_mark"

// A tunnel is a default route by mark: the route in a table of its own, a rule
// that leads there what does not carry the mark, and before it a rule that
// prefers every route of the main table that is not a default route.
type tunnel struct {
	family   family
	table    uint32 // and mark
	route    bool
	rule     *netlink.Rule // nil: not there
	suppress *netlink.Rule
}

// setTunnels makes the default routes of p. New ones are complete before old
// ones go, so that no packet leaves outside the tunnel in between.
func (s *State) setTunnels(ctx context.Context, o *Options, p plan) error {
	var table uint32
	if p.defaults[v4] || p.defaults[v6] {
		var err error
		if table, err = s.addDefaults(ctx, o, p); err != nil {
			return err
		}
		if err := s.setMark(ctx, o, table); err != nil {
			return err
		}
	}
	for _, t := range s.did.tunnels {
		if t.table != table || !p.defaults[t.family] {
			continue
		}
		if err := s.guard(ctx, t); err != nil {
			return err
		}
		if err := s.addRules(ctx, t); err != nil {
			return err
		}
	}
	for _, t := range slices.Clone(s.did.tunnels) {
		if t.table == table && p.defaults[t.family] {
			continue
		}
		if err := s.removeRules(ctx, t); err != nil {
			return err
		}
		if err := s.removeDefault(ctx, t); err != nil {
			return err
		}
	}
	for _, f := range []family{v4, v6} {
		if p.defaults[f] {
			continue
		}
		if err := s.removeFirewall(ctx, f); err != nil {
			return err
		}
	}
	if o.FwMark != 0 {
		s.did.autoTable, s.did.mark = 0, 0 // the mark is the configuration's now
	} else if table == 0 {
		return s.clearMark(ctx, o)
	}
	return nil
}

// addDefaults adds the default routes that are missing and returns their table.
func (s *State) addDefaults(ctx context.Context, o *Options, p plan) (uint32, error) {
	table, fresh := o.FwMark, false
	if table == 0 {
		table = s.did.autoTable
	}
	if table == 0 {
		fresh = true
		err := s.step(ctx, "choose a table", "for the default route to "+s.name, func() (err error) {
			table, err = freeTable(firstAutoTable)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if table >= tableDefault && table <= tableLocal || uint64(table) > math.MaxInt {
		return 0, stepError("add default route", "to "+s.name, hint(fmt.Errorf("FwMark %d cannot be the number of its table", table),
			"use another FwMark, or none"))
	}
	for _, f := range []family{v4, v6} {
		if !p.defaults[f] {
			continue
		}
		for {
			err := s.addDefault(ctx, f, table)
			if fresh && errors.Is(err, unix.EEXIST) { // somebody was faster
				if table, err = freeTable(table + 1); err == nil {
					continue
				}
			}
			if err != nil {
				return 0, err
			}
			break
		}
		fresh = false
	}
	if o.FwMark == 0 {
		s.did.autoTable = table
	}
	return table, nil
}

// freeTable returns the first table number from first on without routes.
func freeTable(first uint32) (uint32, error) {
	for table := first; ; table++ {
		used := 0
		for _, f := range []family{v4, v6} {
			routes, err := listRoutes(f, table, 0)
			if err != nil {
				return 0, fmt.Errorf("list routes of table %d: %w", table, err)
			}
			used += len(routes)
		}
		if used == 0 {
			return table, nil
		}
	}
}

func (s *State) addDefault(ctx context.Context, f family, table uint32) error {
	i := slices.IndexFunc(s.did.tunnels, func(t *tunnel) bool { return t.family == f && t.table == table })
	if i >= 0 && s.did.tunnels[i].route {
		return nil
	}
	r := route{prefix: f.anywhere(), table: table}
	err := s.step(ctx, "add default route", s.routeText(r), func() error {
		err := netlink.RouteAdd(s.netlinkRoute(r))
		if errors.Is(err, unix.EEXIST) {
			return hint(err, "another interface uses this number: choose another FwMark")
		}
		return err
	})
	if err != nil {
		return err
	}
	if i < 0 {
		s.did.tunnels = append(s.did.tunnels, &tunnel{family: f, table: table, route: true})
	} else {
		s.did.tunnels[i].route = true
	}
	return nil
}

func (s *State) removeDefault(ctx context.Context, t *tunnel) error {
	if t.route {
		r := route{prefix: t.family.anywhere(), table: t.table}
		err := s.undo(ctx, "remove default route", s.routeText(r), func() error { return netlink.RouteDel(s.netlinkRoute(r)) })
		if err != nil {
			return err
		}
		t.route = false
	}
	s.did.tunnels = slices.DeleteFunc(slices.Clone(s.did.tunnels), func(u *tunnel) bool { return u == t })
	return nil
}

// setMark marks the tunnel's own packets, if the configuration does not.
func (s *State) setMark(ctx context.Context, o *Options, table uint32) error {
	if o.FwMark != 0 || s.did.mark == table {
		return nil
	}
	err := s.step(ctx, "set fwmark", fmt.Sprintf("%d on %s", table, s.name), func() error {
		if o.SetFwMark == nil {
			return hint(errors.New("the mark of this device cannot be set"), "set FwMark in the configuration")
		}
		return o.SetFwMark(table)
	})
	if err == nil {
		s.did.mark = table
	}
	return err
}

// clearMark takes the mark back that setMark has set.
func (s *State) clearMark(ctx context.Context, o *Options) error {
	s.did.autoTable = 0
	if s.did.mark == 0 {
		return nil
	}
	err := s.step(ctx, "clear fwmark", "of "+s.name, func() error { return o.SetFwMark(0) })
	if err == nil {
		s.did.mark = 0
	}
	return err
}

// guard installs what keeps the tunnel tight, before anything is led into it.
func (s *State) guard(ctx context.Context, t *tunnel) error {
	if t.family == v4 && !srcValidMarkSet() {
		if err := s.step(ctx, "set", "net.ipv4.conf.all.src_valid_mark=1", setSrcValidMark); err != nil {
			return err
		}
	}
	return s.setFirewall(ctx, t.family, t.table)
}

func srcValidMarkSet() bool {
	value, err := os.ReadFile(srcValidMark)
	return err == nil && strings.TrimSpace(string(value)) == "1"
}

func setSrcValidMark() error {
	if err := os.WriteFile(srcValidMark, []byte("1"), 0); err != nil {
		return hint(err, "set it from outside; for a container: --sysctl net.ipv4.conf.all.src_valid_mark=1")
	}
	return nil
}

// resyncTunnels forgets what is missing of the default routes of a family.
func (s *State) resyncTunnels(f family) error {
	for _, t := range s.did.tunnels {
		if t.family != f {
			continue
		}
		routes, err := listRoutes(f, t.table, s.index)
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		t.route = t.route && slices.ContainsFunc(routes, func(r netlink.Route) bool { return prefixOf(r.Dst).Bits() == 0 })
		rules, err := listRules(f)
		if err != nil {
			return fmt.Errorf("list rules: %w", err)
		}
		for _, r := range []**netlink.Rule{&t.rule, &t.suppress} {
			if *r != nil && !slices.ContainsFunc(rules, func(k netlink.Rule) bool { return sameRule(&k, *r) }) {
				*r = nil
			}
		}
	}
	return s.resyncFirewall(f)
}
