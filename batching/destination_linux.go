// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/tunrouter/tunrouter/internal/sys"
)

// A rawDestination is the addresses of a [Destination] as the kernel reads them.
// Messages point at it. Immutable.
type rawDestination struct {
	name    sys.Sockaddr
	nameLen uint8 // 0: no address
	// control is the PKTINFO message, absent without a local address, and a
	// UDP_SEGMENT message whose size is a placeholder.
	control    [sys.SendControlSpace]byte
	pktinfoLen uint8
	controlLen uint8
}

func encode(remote netip.AddrPort, local netip.Addr, ifIndex uint32) rawDestination {
	var r rawDestination
	scope := uint32(0)
	if addr := remote.Addr(); addr.Is6() && (addr.Zone() != "" || addr.IsLinkLocalUnicast()) {
		scope = scopeOf(addr.Zone(), ifIndex)
	}
	r.nameLen = uint8(r.name.Put(remote, scope))
	if !local.IsLinkLocalUnicast() {
		ifIndex = 0
	} else if ifIndex == 0 {
		ifIndex = scope
	}
	b := sys.AppendPktinfo(r.control[:0], local, ifIndex)
	r.pktinfoLen = uint8(len(b))
	r.controlLen = uint8(len(sys.AppendSegment(b, 0)))
	return r
}

// scopeOf returns the interface index that zone means; ifIndex when it means
// none.
func scopeOf(zone string, ifIndex uint32) uint32 {
	if zone == "" {
		return ifIndex
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	return ifIndex
}
