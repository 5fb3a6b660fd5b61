// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Elements of IFLA_INET6_CONF (linux/ipv6.h, DEVCONF_…), of 4 bytes each.
const (
	devconfHopLimit = 1
	devconfMTU6     = 2
)

// skipStats leaves the counters out of a link's message (RTEXT_FILTER_SKIP_STATS).
const skipStats = 1 << 3

// defaultTTL is what the kernel takes when nobody says otherwise (IPDEFTTL,
// IPV6_DEFAULT_HOPLIMIT).
const defaultTTL = 64

// ttlFile has the default TTL of IPv4. Which namespace's is decided when it is
// opened, not when it is read (proc_sysctl.c).
const ttlFile = "/proc/sys/net/ipv4/ip_default_ttl"

// A host is what is known of the interface and the addresses of the host. It
// never changes.
type host struct {
	plain      bool // the interface is there, up, and Ethernet
	mac        [6]byte
	mtu4, mtu6 int
	ttl4, ttl6 uint8
	addrs      map[localAddr]struct{}
}

// A localAddr is an address ready for use; with the interface if it is
// link-local, and 0 if not: such an address may be used on all interfaces.
type localAddr struct {
	addr    netip.Addr
	ifIndex int
}

// has reports whether src is an address of the host that packets by way of the
// interface may come from.
func (h *host) has(src netip.Addr, ifIndex int) bool {
	_, ok := h.addrs[local(src, ifIndex)]
	return ok
}

func local(a netip.Addr, ifIndex int) localAddr {
	if !a.Is6() || !a.IsLinkLocalUnicast() {
		ifIndex = 0
	}
	return localAddr{a, ifIndex}
}

// readHost asks the kernel. ttl is the open ttlFile, or nil. An interface that
// does not exist is no error.
func readHost(s *socket, ifIndex int, ttl *os.File) (*host, error) {
	h := &host{ttl4: readTTL(ttl), ttl6: defaultTTL, addrs: map[localAddr]struct{}{}}
	s.begin(unix.RTM_GETLINK, 0)
	s.out = append(s.out, make([]byte, linkLen)...)
	native.PutUint32(s.out[headerLen+4:], uint32(ifIndex))
	s.out = appendAttr32(s.out, unix.IFLA_EXT_MASK, skipStats)
	b, err := s.ask()
	if errors.Is(err, unix.ENODEV) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	h.link(b)
	const tries = 4
	for range tries {
		clear(h.addrs)
		s.begin(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		s.out = append(s.out, make([]byte, addrLen)...)
		if err = s.list(h.address); !errors.Is(err, errInterrupted) {
			break
		}
	}
	return h, err
}

// link reads the body of a link's message.
func (h *host) link(b []byte) {
	if len(b) < linkLen {
		return
	}
	ether := native.Uint16(b[2:]) == unix.ARPHRD_ETHER && native.Uint32(b[8:])&unix.IFF_UP != 0
	for typ, value := range attrs(b[linkLen:]) {
		switch typ {
		case unix.IFLA_ADDRESS:
			if h.plain = ether && len(value) == 6; h.plain {
				h.mac = [6]byte(value)
			}
		case unix.IFLA_MTU:
			h.mtu4 = int(number(value))
		case unix.IFLA_AF_SPEC:
			for family, value := range attrs(value) {
				if family == unix.AF_INET6 {
					h.inet6(value)
				}
			}
		}
	}
	if h.mtu6 == 0 || h.mtu6 > h.mtu4 {
		h.mtu6 = h.mtu4
	}
}

// inet6 reads what a link's message says of IPv6.
func (h *host) inet6(b []byte) {
	for typ, conf := range attrs(b) {
		if typ != unix.IFLA_INET6_CONF || len(conf) < 4*(devconfMTU6+1) {
			continue
		}
		if limit := number(conf[4*devconfHopLimit:]); limit >= 1 && limit <= 255 {
			h.ttl6 = uint8(limit)
		}
		if mtu := number(conf[4*devconfMTU6:]); mtu <= 1<<16 {
			h.mtu6 = int(mtu)
		}
	}
}

// address reads the body of an address' message. The kernel refuses tentative
// sources, but for optimistic ones (net/ipv6/addrconf.c, ipv6_chk_addr_and_flags).
func (h *host) address(b []byte) {
	if len(b) < addrLen {
		return
	}
	var a, peer netip.Addr
	flags := uint32(b[2])
	for typ, value := range attrs(b[addrLen:]) {
		switch typ {
		case unix.IFA_LOCAL:
			a = address(value)
		case unix.IFA_ADDRESS: // the other end's, when there is an IFA_LOCAL
			peer = address(value)
		case unix.IFA_FLAGS:
			flags = number(value)
		}
	}
	if !a.IsValid() {
		a = peer
	}
	tentative := flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC) == unix.IFA_F_TENTATIVE
	if !a.IsValid() || a.IsLoopback() || tentative || flags&unix.IFA_F_DADFAILED != 0 {
		return
	}
	h.addrs[local(a, int(native.Uint32(b[4:])))] = struct{}{}
}

// readTTL returns the default TTL of IPv4.
func readTTL(file *os.File) uint8 {
	if file == nil {
		return defaultTTL
	}
	var b [16]byte
	n, _ := file.ReadAt(b[:], 0) // the end of the file is an error
	ttl, err := strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 8)
	if err != nil || ttl == 0 {
		return defaultTTL
	}
	return uint8(ttl)
}
