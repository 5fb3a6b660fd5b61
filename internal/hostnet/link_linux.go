// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// mtuInput is what an MTU was worked out from. It is worked out again only when
// this changes, so that a reload does not undo what the administrator has set
// by hand.
type mtuInput struct {
	mtu       int
	endpoints []netip.Addr
	ipv6      bool
}

func (m *mtuInput) equal(o *mtuInput) bool {
	return m != nil && m.mtu == o.mtu && m.ipv6 == o.ipv6 && slices.Equal(m.endpoints, o.endpoints)
}

func (s *State) addAddresses(ctx context.Context, want []netip.Prefix) error {
	for _, p := range want {
		if slices.Contains(s.did.addresses, p) {
			continue
		}
		if err := s.addAddress(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (s *State) addAddress(ctx context.Context, p netip.Prefix) error {
	ours := true
	err := s.step(ctx, "add address", p.String()+" to "+s.name, func() error {
		err := netlink.AddrAdd(nil, s.address(p))
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		// IPv6 has each address once, whatever its prefix length.
		i := slices.IndexFunc(s.did.addresses, func(q netip.Prefix) bool { return q.Addr() == p.Addr() })
		if i < 0 {
			s.log.Info("the interface has this address already", "interface", s.name, "address", p)
			ours = false
			return nil
		}
		if err := netlink.AddrDel(nil, s.address(s.did.addresses[i])); err != nil {
			return err
		}
		s.did.addresses = slices.Delete(s.did.addresses, i, i+1)
		return netlink.AddrAdd(nil, s.address(p))
	})
	if err == nil && ours {
		s.did.addresses = append(s.did.addresses, p)
	}
	return err
}

// dropAddresses removes the addresses of ours that are not wanted. The kernel
// removes more with them: other addresses of the same IPv4 network, and with
// the last IPv4 address all IPv4 routes. Those addresses are put back here, the
// routes by what follows.
func (s *State) dropAddresses(ctx context.Context, want []netip.Prefix) error {
	removed := false
	for _, p := range slices.Clone(s.did.addresses) {
		if slices.Contains(want, p) {
			continue
		}
		if err := s.removeAddress(ctx, p); err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	if err := s.step(ctx, "read the state of", s.name, s.resync); err != nil {
		return err
	}
	return s.addAddresses(ctx, want)
}

func (s *State) removeAddress(ctx context.Context, p netip.Prefix) error {
	err := s.undo(ctx, "remove address", p.String()+" from "+s.name, func() error {
		return netlink.AddrDel(nil, s.address(p))
	})
	if err == nil {
		s.did.addresses = slices.DeleteFunc(slices.Clone(s.did.addresses), func(q netip.Prefix) bool { return p == q })
	}
	return err
}

// address is p in the form of the netlink library. The broadcast address is one
// that it leaves out: ip(8) sets none, and the library would otherwise.
func (s *State) address(p netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(p), LinkIndex: s.index, Broadcast: net.IPv4zero}
}

// addressesOf lists the addresses of the interface.
func (s *State) addressesOf(f family) ([]netip.Prefix, error) {
	list, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlinkFamily(f)) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var out []netip.Prefix
	for _, a := range list {
		if a.LinkIndex == s.index && a.IPNet != nil {
			out = append(out, prefixOf(a.IPNet))
		}
	}
	return out, nil
}

func (s *State) setMTU(ctx context.Context, o *Options, p plan) error {
	from := mtuInput{mtu: o.MTU, endpoints: o.Endpoints, ipv6: slices.ContainsFunc(p.addresses, func(a netip.Prefix) bool { return a.Addr().Is6() })}
	if s.did.mtuFrom.equal(&from) {
		return nil
	}
	mtu := o.MTU
	if mtu == 0 {
		mark := o.FwMark
		if mark == 0 {
			mark = s.did.mark
		}
		mtu = routedMTU(o.Endpoints, mark, s.index)
		if from.ipv6 && mtu < minIPv6MTU {
			s.log.Warn("the way to the endpoints is too narrow for ipv6 in the tunnel; packets will be fragmented", "mtu", mtu, "raised", minIPv6MTU)
			mtu = minIPv6MTU
		}
	}
	err := s.step(ctx, "set mtu", fmt.Sprintf("%d of %s", mtu, s.name), func() error {
		if from.ipv6 && mtu < minIPv6MTU {
			return hint(errors.New("too small for IPv6"), fmt.Sprintf("set MTU to at least %d, or take the IPv6 addresses out", minIPv6MTU))
		}
		link, err := netlink.LinkByIndex(s.index)
		if err != nil {
			return err
		}
		before := link.Attrs().MTU
		if before == mtu {
			return nil
		}
		if err := netlink.LinkSetMTU(link, mtu); err != nil {
			return err
		}
		if s.did.mtuBefore == 0 {
			s.did.mtuBefore = before
		}
		return nil
	})
	if err == nil {
		s.did.mtuFrom = &from
	}
	return err
}

// RoutedMTU returns the MTU that [Up] would give to an interface whose peers are at
// endpoints, for packets with the given mark: for an interface in another network
// namespace than that of the calling thread.
func RoutedMTU(endpoints []netip.Addr, mark uint32) int {
	const none = 0 // no interface has this index
	return routedMTU(endpoints, mark, none)
}

// routedMTU works out the MTU from the routes to the endpoints that are not to the
// interface with the index own. Routes that cannot be read count as absent, as with
// wg-quick.
func routedMTU(endpoints []netip.Addr, mark uint32, own int) int {
	var paths []int
	for _, e := range endpoints {
		r, err := lookup(e, netip.Addr{}, mark)
		if err == nil && r.LinkIndex != own {
			paths = append(paths, pathMTU(r))
		}
	}
	byDefault := 0
	for _, f := range []family{v4, v6} {
		routes, err := listRoutes(f, tableMain, 0)
		if err != nil {
			continue
		}
		i := slices.IndexFunc(routes, func(r netlink.Route) bool { return prefixOf(r.Dst).Bits() == 0 && r.LinkIndex != own })
		if i >= 0 {
			byDefault = pathMTU(&routes[i])
			break
		}
	}
	return computeMTU(paths, byDefault)
}

// pathMTU returns the MTU of a route: its own, or that of its interface; of
// several next hops the smallest. Zero means unknown.
func pathMTU(r *netlink.Route) int {
	if r.MTU > 0 {
		return r.MTU
	}
	hops := []int{r.LinkIndex}
	for _, h := range r.MultiPath {
		hops = append(hops, h.LinkIndex)
	}
	mtu := 0
	for _, index := range hops {
		if index == 0 {
			continue
		}
		link, err := netlink.LinkByIndex(index)
		if err == nil && (mtu == 0 || link.Attrs().MTU < mtu) {
			mtu = link.Attrs().MTU
		}
	}
	return mtu
}

// raise sets the link up if it is down.
func (s *State) raise(ctx context.Context) error {
	link, err := netlink.LinkByIndex(s.index)
	if err != nil {
		return stepError("set link up", s.name, err)
	}
	if link.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	err = s.step(ctx, "set link up", s.name, func() error { return netlink.LinkSetUp(link) })
	if err == nil {
		s.did.raised = true
	}
	return err
}

// lower undoes raise, and forgets what the kernel has removed with it.
func (s *State) lower(ctx context.Context) error {
	if !s.did.raised {
		return nil
	}
	err := s.undo(ctx, "set link down", s.name, func() error { return netlink.LinkSetDown(s.device()) })
	if err != nil {
		return err
	}
	s.did.raised = false
	return s.step(ctx, "read the state of", s.name, s.resync)
}

// restoreMTU undoes setMTU.
func (s *State) restoreMTU(ctx context.Context) error {
	if s.did.mtuBefore == 0 {
		return nil
	}
	return s.undo(ctx, "restore mtu", fmt.Sprintf("%d of %s", s.did.mtuBefore, s.name), func() error {
		return netlink.LinkSetMTU(s.device(), s.did.mtuBefore)
	})
}

// device is the interface for functions of the netlink library that need no more
// than its index.
func (s *State) device() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: s.index}}
}

// Live returns the addresses and the MTU that the interface has now, whoever
// set them, for SaveConfig. IPv6 link-local addresses that the kernel has made
// up are left out.
func (s *State) Live() (addresses []netip.Prefix, mtu int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, 0, fmt.Errorf("state of %s: %w", s.name, os.ErrClosed)
	}
	err = s.ns.do(func() error {
		link, err := netlink.LinkByIndex(s.index)
		if err != nil {
			return stepError("read the state of", s.name, err)
		}
		mtu = link.Attrs().MTU
		for _, f := range []family{v4, v6} {
			list, err := s.addressesOf(f)
			if err != nil {
				return stepError("read the state of", s.name, err)
			}
			for _, p := range list {
				if p.Addr().Is4() || !p.Addr().IsLinkLocalUnicast() || slices.Contains(s.did.addresses, p) {
					addresses = append(addresses, p)
				}
			}
		}
		return nil
	})
	return addresses, mtu, err
}

func netlinkFamily(f family) int {
	if f == v6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

// ipNet converts p for the netlink library.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefixOf converts a prefix of the netlink library, which the kernel has made.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if size == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, bits)
}
