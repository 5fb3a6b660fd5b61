// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
)

// resolverRecords are where resolvconf implementations keep what was registered
// for an interface: openresolv, Debian's resolvconf, and its older place.
var resolverRecords = [...]string{"/run/resolvconf/interfaces/", "/run/resolvconf/interface/", "/etc/resolvconf/run/interface/"}

// removeLeftovers removes what a run that was killed has left behind for an
// interface of this name. The interface has taken its routes and addresses with
// it; rules, the nftables table and the DNS record stay. The table's name tells
// whose it is and the mark in it which rules belong to it, so that nothing of
// other interfaces is touched. Errors are logged: what is still in the way
// makes a later step fail and is named there.
func (s *State) removeLeftovers(ctx context.Context, o *Options) {
	for _, f := range []family{v4, v6} {
		mark, there := s.firewallMark(f)
		if !there {
			continue
		}
		err := s.step(ctx, "remove leftovers", fmt.Sprintf("of %s (%v)", s.name, f), func() error {
			return errors.Join(removeStaleRules(f, mark), s.deleteTable(f))
		})
		if err != nil {
			s.log.Warn("leftovers of an earlier run are still there", "interface", s.name, "err", err)
		} else {
			s.log.Warn("removed leftovers of an earlier run", "interface", s.name, "family", f, "mark", mark)
		}
	}
	if len(o.DNS) > 0 {
		return // which replaces the record
	}
	record := resolvconfName(s.name)
	for _, dir := range resolverRecords {
		if _, err := os.Stat(dir + record); err == nil {
			s.did.dns = &dnsRecord{name: record}
			if err := s.removeDNS(ctx); err != nil {
				s.log.Warn("leftovers of an earlier run are still there", "interface", s.name, "err", err)
				s.did.dns = nil
			}
			return
		}
	}
}

// removeStaleRules removes the rule that leads to the table of mark, and the
// one right before it that goes with it.
func removeStaleRules(f family, mark uint32) error {
	rules, err := listRules(f)
	if err != nil || mark == 0 {
		return err
	}
	var errs error
	for i := range rules {
		r := &rules[i]
		want := newTunnelRule(&tunnel{family: f, table: mark}, r.Priority)
		if !sameRule(r, want) {
			continue
		}
		errs = errors.Join(errs, netlink.RuleDel(want))
		if i == 0 {
			continue
		}
		before := newSuppressRule(f, r.Priority-1)
		if sameRule(&rules[i-1], before) {
			errs = errors.Join(errs, netlink.RuleDel(before))
		}
	}
	return errs
}
