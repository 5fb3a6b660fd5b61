// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Damaged messages are no panic, and whatever comes out was in them.
func FuzzMessages(f *testing.F) {
	b := make([]byte, linkLen)
	f.Add(appendAttr(b, unix.IFLA_ADDRESS, make([]byte, 6)))
	f.Add(appendAttr32(append([]byte{unix.AF_INET6}, make([]byte, routeLen-1)...), unix.RTA_OIF, 7))
	f.Add(appendAttrAddr(append([]byte{unix.AF_INET}, make([]byte, neighLen-1)...), unix.NDA_DST, netip.IPv4Unspecified()))
	f.Add(appendAttr(make([]byte, addrLen), unix.IFA_LOCAL, []byte{1, 2, 3, 4}))
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		for _, value := range attrs(b) {
			total += attrLen + len(value)
		}
		if total > len(b) {
			t.Fatalf("attributes of %d bytes in %d", total, len(b))
		}
		if r, ok := parseRoute(b); ok != (len(b) >= routeLen) || !ok && r != (route{}) {
			t.Fatalf("got %+v, %v", r, ok)
		}
		if n := parseNeighbour(b); n.mac != [6]byte{} && !n.usable {
			t.Fatalf("got %+v", n)
		}
		h := &host{ttl6: defaultTTL, addrs: map[localAddr]struct{}{}}
		h.link(b)
		h.address(b)
		if h.ttl6 == 0 || h.mtu6 > h.mtu4 || len(h.addrs) > 1 {
			t.Fatalf("got %+v", h)
		}
	})
}
