// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A firewall is the nftables table of one family:
//
//	table ip wg-quick-wg0 {
//		chain preraw {
//			type filter hook prerouting priority raw;
//			iifname != "wg0" ip daddr ADDRESS fib saddr type != local drop
//		}
//		chain premangle {
//			type filter hook prerouting priority mangle;
//			meta l4proto udp meta mark set ct mark
//		}
//		chain postmangle {
//			type filter hook postrouting priority mangle;
//			meta l4proto udp meta mark MARK ct mark set meta mark
//		}
//	}
//
// The first chain keeps others on the link from finding out what happens in the
// tunnel by sending packets to its address (CVE-2019-14899). The other two give
// the answers to the tunnel's packets their mark, for src_valid_mark.
type firewall struct {
	mark      uint32
	addresses []netip.Addr
}

// firewallName is the name of the table, the same as wg-quick's.
func firewallName(name string) string { return "wg-quick-" + name }

func (s *State) firewallTable(f family) *nftables.Table {
	t := &nftables.Table{Name: firewallName(s.name), Family: nftables.TableFamilyIPv4}
	if f == v6 {
		t.Family = nftables.TableFamilyIPv6
	}
	return t
}

// setFirewall installs the table, or replaces it, in one transaction.
func (s *State) setFirewall(ctx context.Context, f family, mark uint32) error {
	prefixes, err := s.addressesOf(f)
	if err != nil {
		return stepError("add leak protection", "of "+s.name, err)
	}
	want := firewall{mark: mark}
	for _, p := range prefixes {
		want.addresses = append(want.addresses, p.Addr())
	}
	if have := s.did.firewall[f]; have != nil && have.mark == mark && slices.Equal(have.addresses, want.addresses) {
		return nil
	}
	err = s.step(ctx, "add leak protection", fmt.Sprintf("of %s (%v, nftables)", s.name, f), func() error {
		// Asked first because the library waits for ever for the answers of a
		// kernel that has no nftables.
		if _, err := s.firewallExists(f); err != nil {
			return nftablesHint(err)
		}
		c, err := nftables.New()
		if err != nil {
			return nftablesHint(err)
		}
		s.writeFirewall(c, f, &want)
		return nftablesHint(c.Flush())
	})
	if err == nil {
		s.did.firewall[f] = &want
	}
	return err
}

// writeFirewall puts the commands into c: an existing table goes first.
func (s *State) writeFirewall(c *nftables.Conn, f family, w *firewall) {
	t := s.firewallTable(f)
	c.AddTable(t)
	c.DelTable(t)
	c.AddTable(t)
	chain := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return c.AddChain(&nftables.Chain{Table: t, Name: name, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: priority})
	}
	preraw := chain("preraw", nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	premangle := chain("premangle", nftables.ChainHookPrerouting, nftables.ChainPriorityMangle)
	postmangle := chain("postmangle", nftables.ChainHookPostrouting, nftables.ChainPriorityMangle)
	for _, a := range w.addresses {
		c.AddRule(&nftables.Rule{Table: t, Chain: preraw, Exprs: dropOutsiders(s.name, a)})
	}
	c.AddRule(&nftables.Rule{Table: t, Chain: postmangle, Exprs: saveMark(w.mark)})
	c.AddRule(&nftables.Rule{Table: t, Chain: premangle, Exprs: restoreMark()})
}

// dropOutsiders is: iifname != NAME ip daddr A fib saddr type != local drop.
func dropOutsiders(name string, a netip.Addr) []expr.Any {
	ifname := make([]byte, unix.IFNAMSIZ)
	copy(ifname, name)
	offset := uint32(16) // of the destination in the IPv4 header
	if a.Is6() {
		offset = 24
	}
	address := a.AsSlice()
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: ifname},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(address))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: address},
		&expr.Fib{Register: 1, FlagSADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

func udpOnly() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
	}
}

// saveMark is: meta l4proto udp meta mark MARK ct mark set meta mark.
func saveMark(mark uint32) []expr.Any {
	return append(udpOnly(),
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1, SourceRegister: true},
	)
}

// restoreMark is: meta l4proto udp meta mark set ct mark.
func restoreMark() []expr.Any {
	return append(udpOnly(),
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true},
	)
}

func (s *State) removeFirewall(ctx context.Context, f family) error {
	if s.did.firewall[f] == nil {
		return nil
	}
	err := s.undo(ctx, "remove leak protection", fmt.Sprintf("of %s (%v, nftables)", s.name, f), func() error { return s.deleteTable(f) })
	if err == nil {
		s.did.firewall[f] = nil
	}
	return err
}

func (s *State) deleteTable(f family) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.DelTable(s.firewallTable(f))
	return c.Flush()
}

// firewallExists reports whether there is a table of our name.
func (s *State) firewallExists(f family) (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, err
	}
	t := s.firewallTable(f)
	_, err = c.ListTableOfFamily(t.Name, t.Family)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

func (s *State) resyncFirewall(f family) error {
	if s.did.firewall[f] == nil {
		return nil
	}
	there, err := s.firewallExists(f)
	if err != nil {
		return fmt.Errorf("list nftables: %w", err)
	}
	if !there {
		s.did.firewall[f] = nil
	}
	return nil
}

// firewallMark returns the mark in an existing table of our name, and whether
// there is such a table at all.
func (s *State) firewallMark(f family) (mark uint32, there bool) {
	if there, err := s.firewallExists(f); err != nil || !there {
		return 0, false
	}
	c, err := nftables.New()
	if err != nil {
		return 0, true
	}
	t := s.firewallTable(f)
	rules, err := c.GetRules(t, &nftables.Chain{Name: "postmangle", Table: t})
	if err != nil {
		return 0, true
	}
	for _, r := range rules {
		for i := 1; i < len(r.Exprs); i++ {
			load, isMeta := r.Exprs[i-1].(*expr.Meta)
			compare, isCmp := r.Exprs[i].(*expr.Cmp)
			if isMeta && isCmp && load.Key == expr.MetaKeyMARK && len(compare.Data) == 4 {
				return binaryutil.NativeEndian.Uint32(compare.Data), true
			}
		}
	}
	return 0, true
}

// nftablesHint names what a kernel lacks: it answers EINVAL, EPROTONOSUPPORT or
// EOPNOTSUPP without nf_tables and ENOENT without an expression's module.
func nftablesHint(err error) error {
	for _, missing := range []error{unix.EINVAL, unix.EPROTONOSUPPORT, unix.EOPNOTSUPP, unix.ENOENT} {
		if errors.Is(err, missing) {
			return hint(err, "the kernel needs nf_tables with nft_fib, nft_fib_ipv4, nft_fib_ipv6 and nft_ct")
		}
	}
	return err
}
