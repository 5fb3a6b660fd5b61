// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestSubnetPolicy(t *testing.T) {
	own := func(a netip.Addr) bool {
		return slices.Contains([]string{"10.1.2.3", "10.1.2.255", "fe80::5", "2001:db8::5", "169.254.1.1"}, a.String())
	}
	const anything = "any"
	for _, tc := range []struct {
		listed string // prefixes, or anything
		to     string // addresses
		want   denial
	}{
		{"", "192.0.2.1 2001:db8::1", deniedUnlisted},
		{"192.0.2.0/24", "192.0.2.1 192.0.2.255", allowed},
		{"192.0.2.0/24", "192.0.3.1 2001:db8::1", deniedUnlisted},
		{"192.0.2.77/24", "192.0.2.1", allowed},
		{"2001:db8::/64", "2001:db8::1", allowed},
		{anything, "192.0.2.1 10.1.2.4 8.8.8.8 2001:db8::1 fd00::1", allowed},
		{"0.0.0.0/0 ::/0", "192.0.2.1 2001:db8::1", allowed},

		{anything, "127.0.0.1 127.255.255.255 ::1", deniedLoopback},
		{"0.0.0.0/0 ::/0", "127.0.0.1 ::1", deniedLoopback},
		{"126.0.0.0/7", "127.0.0.1", deniedLoopback},
		{"127.0.0.0/8", "127.0.0.1 127.1.2.3", allowed},
		{"127.0.0.1/32 ::1/128", "127.0.0.1 ::1", allowed},
		{"127.0.0.1/32", "127.0.0.2 ::1", deniedLoopback},
		{anything + " 127.0.0.1/32", "127.0.0.1 192.0.2.1", allowed},

		{anything, "0.0.0.0 0.1.2.3 ::", deniedUnspecified},
		{"0.0.0.0/0", "0.0.0.0", deniedUnspecified},
		{"0.0.0.0/8", "0.1.2.3", allowed},
		{anything, "224.0.0.1 239.255.255.255 ff02::1", deniedMulticast},
		{"224.0.0.0/4", "224.0.0.1", allowed},
		{anything, "240.0.0.1 255.255.255.255", deniedReserved},
		{"224.0.0.0/3", "240.0.0.1", deniedReserved},

		{anything, "169.254.7.7 fe80::1 febf::1", deniedLinkLocal},
		{"169.254.0.0/15", "169.254.7.7", deniedLinkLocal},
		{"169.254.0.0/16 fe80::/10", "169.254.7.7 fe80::1", allowed},
		{"169.254.7.0/24", "169.254.7.7", allowed},
		{anything, "169.254.169.254 169.254.170.2 168.63.129.16 100.100.100.200 fd00:ec2::254 fd20:ce::254", deniedMetadata},
		{"169.254.0.0/16 100.64.0.0/10 fd00::/8", "169.254.169.254 100.100.100.200 fd00:ec2::254", deniedMetadata},
		{"169.254.169.254/32 fd00:ec2::254/128", "169.254.169.254 fd00:ec2::254", allowed},

		{anything, "10.1.2.3 10.1.2.255 2001:db8::5", deniedOwn},
		{"10.0.0.0/8", "10.1.2.3 10.1.2.255", deniedOwn},
		{"10.1.2.2/31", "10.1.2.3", deniedOwn},
		{"10.1.2.3/32 2001:db8::5/128", "10.1.2.3 2001:db8::5", allowed},
		{"10.1.2.3/32", "10.1.2.255", deniedOwn},
		{"fe80::/10 169.254.0.0/16", "fe80::5 169.254.1.1", deniedOwn},
		{"fe80::5/128 169.254.1.1/32", "fe80::5 169.254.1.1", allowed},

		{anything, "::ffff:192.0.2.1 ::ffff:127.0.0.1", deniedMapped},
		{"::/0 127.0.0.1/32 192.0.2.0/24", "::ffff:127.0.0.1 ::ffff:192.0.2.1", deniedMapped},
		{anything, "fe80::1%eth0", deniedMapped},
	} {
		var prefixes []netip.Prefix
		for _, l := range strings.Fields(strings.TrimPrefix(tc.listed, anything)) {
			prefixes = append(prefixes, netip.MustParsePrefix(l))
		}
		p, err := newSubnetPolicy(strings.HasPrefix(tc.listed, anything), prefixes)
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range strings.Fields(tc.to) {
			if got := p.check(netip.MustParseAddr(to), own); got != tc.want {
				t.Errorf("listed %q: %s is %v, want %v", tc.listed, to, got, tc.want)
			}
		}
	}
	p := &subnetPolicy{any: true}
	if got := p.check(netip.Addr{}, own); got != deniedMapped {
		t.Errorf("the zero address is %v", got)
	}
}

func TestSubnetPolicyPrefixes(t *testing.T) {
	for _, bad := range []netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.0"), 120)} {
		if _, err := newSubnetPolicy(false, []netip.Prefix{bad}); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

func TestHostAddresses(t *testing.T) {
	own := hostAddresses()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		n := a.(*net.IPNet)
		ip, _ := netip.AddrFromSlice(n.IP)
		if !slices.Contains(own, ip.Unmap()) {
			t.Errorf("%v is missing", n)
		}
		if four := n.IP.To4(); four != nil && four.IsLoopback() {
			if last := netip.MustParseAddr("127.255.255.255"); n.Mask.String() == "ff000000" && !slices.Contains(own, last) {
				t.Errorf("%v, the broadcast address of %v, is missing", last, n)
			}
		}
	}
}

// TestOwnAddressesAreKept: the list is not asked for each packet.
func TestOwnAddressesAreKept(t *testing.T) {
	asked := 0
	o := ownAddresses{list: func() []netip.Addr {
		asked++
		return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1%eth0")}
	}}
	for range 3 {
		if !o.has(netip.MustParseAddr("192.0.2.1")) || !o.has(netip.MustParseAddr("fe80::1")) || o.has(netip.MustParseAddr("192.0.2.2")) {
			t.Error("wrong addresses")
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	o.at = o.at.Add(-ownAge)
	o.has(netip.MustParseAddr("192.0.2.1"))
	if asked != 2 {
		t.Errorf("asked %d times after %v, want twice", asked, ownAge)
	}
}
