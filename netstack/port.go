// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
)

// portTable has the open ports of one transport that have no endpoint of the
// stack: [UDPPort] and [TCPPort].
type portTable[P interface {
	comparable
	hold() // counts who uses the port; called with mu held
}] struct {
	count atomic.Int32 // of open, for who need not look

	mu   sync.RWMutex         // guards below
	open map[netip.AddrPort]P // the zero Addr for all addresses
}

func (t *portTable[P]) init() { t.open = make(map[netip.AddrPort]P) }

// acquire returns the held port for packets to dst, nil if there is none.
func (t *portTable[P]) acquire(dst netip.AddrPort) P {
	var none P
	if t.count.Load() == 0 {
		return none
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	p := t.open[dst]
	if p == none {
		p = t.open[netip.AddrPortFrom(netip.Addr{}, dst.Port())]
	}
	if p != none {
		p.hold()
	}
	return p
}

func (t *portTable[P]) addLocked(local netip.AddrPort, p P) {
	t.open[local] = p
	t.count.Add(1)
}

// removeLocked reports whether p was open.
func (t *portTable[P]) removeLocked(local netip.AddrPort, p P) bool {
	if t.open[local] != p {
		return false
	}
	delete(t.open, local)
	t.count.Add(-1)
	return true
}

// reservation returns what keeps sockets of the stack away from a port, and the
// address as a key of portTable: the zero Addr for every address of the device.
func (d *Device) reservation(transport tcpip.TransportProtocolNumber, local netip.AddrPort) (ports.Reservation, netip.Addr, error) {
	r := ports.Reservation{Transport: transport, Port: local.Port()}
	a := local.Addr().Unmap().WithZone("")
	switch {
	case !a.IsValid(), a.IsUnspecified():
		r.Networks = []tcpip.NetworkProtocolNumber{header.IPv4ProtocolNumber, header.IPv6ProtocolNumber}
		return r, netip.Addr{}, nil
	case !d.owns(a):
		return r, a, syscall.EADDRNOTAVAIL
	}
	r.Networks = []tcpip.NetworkProtocolNumber{netProto(a)}
	r.Addr = toAddress(a)
	return r, a, nil
}

// shownAddr returns a key of portTable as callers see it: :: for every address.
func shownAddr(local netip.AddrPort) netip.AddrPort {
	if !local.Addr().IsValid() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), local.Port())
	}
	return local
}
