// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
)

// addRules adds the two rules of a tunnel where they are missing. The one that
// prefers better routes comes first, so that the local network is never cut off.
func (s *State) addRules(ctx context.Context, t *tunnel) error {
	if t.rule != nil && t.suppress != nil {
		return nil
	}
	if err := s.removeRules(ctx, t); err != nil { // of which one is left at most
		return err
	}
	list, err := listRules(t.family)
	if err != nil {
		return stepError("add rule", ruleText(t.family, newTunnelRule(t, 0)), err)
	}
	tunnelPriority, suppressPriority := rulePriorities(s.splitRules(t.family, list))
	suppress, rule := newSuppressRule(t.family, suppressPriority), newTunnelRule(t, tunnelPriority)
	if err := s.addRule(ctx, t.family, suppress); err != nil {
		return err
	}
	t.suppress = suppress
	if err := s.addRule(ctx, t.family, rule); err != nil {
		return err
	}
	t.rule = rule
	return nil
}

// splitRules returns the priorities of others' rules and of those of s.
func (s *State) splitRules(f family, list []netlink.Rule) (others, ours []int) {
	var own []*netlink.Rule
	for _, t := range s.did.tunnels {
		if t.family == f {
			own = append(own, t.rule, t.suppress)
		}
	}
	for i := range list {
		k := &list[i]
		if slices.ContainsFunc(own, func(r *netlink.Rule) bool { return r != nil && sameRule(k, r) }) {
			ours = append(ours, k.Priority)
		} else {
			others = append(others, k.Priority)
		}
	}
	return others, ours
}

func (s *State) addRule(ctx context.Context, f family, r *netlink.Rule) error {
	return s.step(ctx, "add rule", ruleText(f, r), func() error { return netlink.RuleAdd(r) })
}

// removeRules removes the rules of a tunnel that are there.
func (s *State) removeRules(ctx context.Context, t *tunnel) error {
	var errs error
	for _, r := range []**netlink.Rule{&t.rule, &t.suppress} {
		if *r == nil {
			continue
		}
		err := s.undo(ctx, "remove rule", ruleText(t.family, *r), func() error { return netlink.RuleDel(*r) })
		if err == nil {
			*r = nil
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

// newTunnelRule is "not fwmark T table T".
func newTunnelRule(t *tunnel, priority int) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority = netlinkFamily(t.family), priority
	r.Invert, r.Mark, r.Table = true, t.table, int(t.table)
	return r
}

// newSuppressRule is "table main suppress_prefixlength 0".
func newSuppressRule(f family, priority int) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority = netlinkFamily(f), priority
	r.Table, r.SuppressPrefixlen = tableMain, 0
	return r
}

func ruleText(f family, r *netlink.Rule) string {
	if r.Invert {
		return fmt.Sprintf("not fwmark %d table %d (%v)", r.Mark, r.Table, f)
	}
	return fmt.Sprintf("table main suppress_prefixlength 0 (%v)", f)
}

// sameRule reports whether the kernel's rule k is r, one of the two above.
func sameRule(k, r *netlink.Rule) bool {
	return k.Priority == r.Priority && k.Invert == r.Invert && k.Mark == r.Mark &&
		k.Table == r.Table && k.SuppressPrefixlen == r.SuppressPrefixlen &&
		k.Src == nil && k.Dst == nil && k.IifName == "" && k.OifName == ""
}

func listRules(f family) ([]netlink.Rule, error) {
	return dump(func() ([]netlink.Rule, error) { return netlink.RuleList(netlinkFamily(f)) })
}
