// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A denial is why a peer may not reach an address.
type denial int

const (
	allowed           denial = iota
	deniedUnlisted           // in no listed prefix
	deniedUnspecified        // 0.0.0.0/8, ::
	deniedLoopback
	deniedLinkLocal
	deniedMetadata // of a cloud, which hands out credentials
	deniedMulticast
	deniedReserved // 240.0.0.0/4, with the broadcast address
	deniedMapped   // an IPv4 address in its IPv6 form
	deniedOwn      // an address of this host, or the broadcast address of a network it is in
	deniedSource   // the sender is nobody known
	numDenials
)

// String returns the reason as a word for logs and metrics.
func (d denial) String() string {
	return [numDenials]string{
		"allowed", "unlisted", "unspecified", "loopback", "link_local", "metadata",
		"multicast", "reserved", "mapped", "own", "source",
	}[d]
}

// specialRanges are what a router does not forward to, or its host would mistake
// for somebody's own (RFC 6890), and the services of clouds that tell secrets to
// whoever asks from this host: AWS, ECS and EKS, Google, Azure, Alibaba (2026).
var specialRanges = []struct {
	prefix netip.Prefix
	why    denial
}{
	{netip.MustParsePrefix("0.0.0.0/8"), deniedUnspecified},
	{netip.MustParsePrefix("127.0.0.0/8"), deniedLoopback},
	{netip.MustParsePrefix("169.254.169.254/32"), deniedMetadata},
	{netip.MustParsePrefix("169.254.170.2/32"), deniedMetadata},
	{netip.MustParsePrefix("169.254.170.23/32"), deniedMetadata},
	{netip.MustParsePrefix("168.63.129.16/32"), deniedMetadata},
	{netip.MustParsePrefix("100.100.100.200/32"), deniedMetadata},
	{netip.MustParsePrefix("169.254.0.0/16"), deniedLinkLocal},
	{netip.MustParsePrefix("224.0.0.0/4"), deniedMulticast},
	{netip.MustParsePrefix("240.0.0.0/4"), deniedReserved},
	{netip.MustParsePrefix("::/128"), deniedUnspecified},
	{netip.MustParsePrefix("::1/128"), deniedLoopback},
	{netip.MustParsePrefix("fd00:ec2::254/128"), deniedMetadata},
	{netip.MustParsePrefix("fd00:ec2::23/128"), deniedMetadata},
	{netip.MustParsePrefix("fd20:ce::254/128"), deniedMetadata},
	{netip.MustParsePrefix("fe80::/10"), deniedLinkLocal},
	{netip.MustParsePrefix("ff00::/8"), deniedMulticast},
}

// A subnetPolicy says which addresses of the host's network peers may reach.
//
//   - Without any, only those in a listed prefix.
//   - An address in a special range only if a listed prefix with it lies within
//     that range: 127.0.0.0/8 and 127.0.0.1/32 open 127.0.0.1, 0.0.0.0/0 does
//     not. Of two ranges, as for 169.254.169.254, this is so for both: it has
//     to be listed by itself.
//   - An address of this host that is not a loopback address only if it is
//     listed by itself, as /32 or /128: 10.0.0.0/8 opens the network, not the
//     ports of the router on it. The broadcast address of a network it is in
//     likewise.
//   - An IPv4 address in its IPv6 form never.
//
// It is not changed.
type subnetPolicy struct {
	any      bool
	prefixes []netip.Prefix
}

// newSubnetPolicy returns the policy of checked prefixes, which it copies.
func newSubnetPolicy(anything bool, prefixes []netip.Prefix) (*subnetPolicy, error) {
	p := &subnetPolicy{any: anything}
	for _, l := range prefixes {
		if !l.IsValid() || l.Addr().Is4In6() {
			return nil, fmt.Errorf("prefix %v: not one of IPv4 or IPv6", l)
		}
		p.prefixes = append(p.prefixes, l.Masked())
	}
	return p, nil
}

// check says whether peers may reach a; own reports whether it is one of this
// host's.
func (p *subnetPolicy) check(a netip.Addr, own func(netip.Addr) bool) denial {
	if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
		return deniedMapped
	}
	for _, s := range specialRanges {
		if s.prefix.Contains(a) && !p.lists(a, s.prefix.Bits()) {
			return s.why
		}
	}
	if !a.IsLoopback() && !p.lists(a, a.BitLen()) && own(a) {
		return deniedOwn
	}
	if p.any || p.lists(a, 0) {
		return allowed
	}
	return deniedUnlisted
}

// lists reports whether a is in a listed prefix of at least that many bits: one
// within the range of that many bits around a.
func (p *subnetPolicy) lists(a netip.Addr, bits int) bool {
	return slices.ContainsFunc(p.prefixes, func(l netip.Prefix) bool {
		return l.Bits() >= bits && l.Contains(a)
	})
}

// ownAge is how long the addresses of this host are taken for what they are.
const ownAge = 5 * time.Second

// ownAddresses knows the addresses of this host.
type ownAddresses struct {
	list func() []netip.Addr

	mu  sync.Mutex // guards below
	at  time.Time
	set map[netip.Addr]struct{}
}

// has reports whether a is an address of this host, as of ownAge ago at most.
func (o *ownAddresses) has(a netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); o.set == nil || now.Sub(o.at) >= ownAge {
		o.at = now
		o.set = make(map[netip.Addr]struct{})
		for _, a := range o.list() {
			o.set[a.Unmap().WithZone("")] = struct{}{}
		}
	}
	_, ok := o.set[a]
	return ok
}

// hostAddresses returns the addresses of the host's interfaces, and the first
// and last ones of their IPv4 networks: broadcast addresses.
func hostAddresses() (out []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // nothing is known; the special ranges are closed all the same
	}
	for _, addr := range addrs {
		n, ok := addr.(*net.IPNet)
		if !ok {
			continue
		}
		a, _ := netip.AddrFromSlice(n.IP)
		a = a.Unmap()
		out = append(out, a)
		ones, bits := n.Mask.Size()
		if !a.Is4() || bits != 32 && bits != 128 || bits-ones < 2 || bits-ones > 31 {
			continue
		}
		first, last := a.As4(), a.As4()
		for i := 32 - (bits - ones); i < 32; i++ {
			first[i/8] &^= 0x80 >> (i % 8)
			last[i/8] |= 0x80 >> (i % 8)
		}
		out = append(out, netip.AddrFrom4(first), netip.AddrFrom4(last))
	}
	return out
}
