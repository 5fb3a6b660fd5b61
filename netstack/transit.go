// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// Echo is an ICMP echo request.
type Echo struct {
	Source, Destination netip.Addr
	Message             []byte // from the type on; borrowed for the call
}

// Transit takes the packets to addresses that the device does not have, instead
// of dropping them. Multicast, broadcast and IPv6 link-local addresses are nobody's
// to answer for and never taken; nor are packets from one of these, from a loopback
// address or from an address of the device.
type Transit struct {
	// TCP is called for each request to connect, in a goroutine of its own.
	// nil refuses all.
	TCP func(r *TCPRequest)
	// UDP is called with the datagrams as they arrive, by the goroutine that
	// delivers them, with the rules of [Net.OpenUDPPort]: it must not block, nor
	// call SendDatagrams, nor close the device. When it returns false, port unreachable
	// is sent. nil is the same.
	UDP func(d *Datagrams) bool
	// Echo is called likewise with echo requests. When it returns false the
	// request is dropped and counted. nil is the same.
	Echo func(e *Echo) bool

	// Loopback takes packets to loopback addresses too, which no router passes on
	// (RFC 1122, section 3.2.1.3) but whoever answers for them here may want.
	Loopback bool

	// MaxHandshakes bounds the requests and handshakes under way; one client
	// (an IPv4 address, or the /64 of an IPv6 address) has at most three
	// quarters of them. Those beyond are ignored and counted. 0 means 4096.
	MaxHandshakes int
}

// SetTransit makes t take packets to addresses that the device does not have,
// from now on; a handler of before may still run. nil takes none: they are
// dropped, and no packet reaches the connections that were accepted before,
// which are not closed. The struct is not kept.
//
// These addresses have a stack of their own, made by the first call. In the
// stack of the device's own addresses, listeners on all addresses would take
// what is meant for others, and its check for packets from its own addresses
// would take all for its own (gVisor network/ipv4/ipv4.go, HandlePacket in
// promiscuous mode, 2026-09).
func (n *Net) SetTransit(t *Transit) error {
	d := n.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return net.ErrClosed
	}
	if t != nil {
		if t.MaxHandshakes < 0 {
			return fmt.Errorf("netstack: max handshakes %d: negative", t.MaxHandshakes)
		}
		c := *t
		c.MaxHandshakes = cmp.Or(c.MaxHandshakes, maxHandshakes)
		t = &c
		if d.foreign.Load() == nil {
			s, err := d.newForeign()
			if err != nil {
				return fmt.Errorf("netstack transit: %w", err)
			}
			d.foreign.Store(s)
		}
	}
	d.transit.Store(t)
	d.log.Debug("transit changed", "on", t != nil)
	return nil
}

// newForeign makes the stack that answers for all addresses. Handlers are set
// before its first packet, as the stack reads them without a lock.
func (d *Device) newForeign() (*ipStack, error) {
	l := &link{queues: d.queues, seed: d.link.seed, mtu: &d.mtu}
	s, err := newStack(&d.opts, l, false)
	if err != nil {
		return nil, err
	}
	terr := s.stack.SetPromiscuousMode(nicID, true)
	if terr == nil {
		terr = s.stack.SetSpoofing(nicID, true)
	}
	if terr != nil {
		s.close()
		return nil, stackError(terr)
	}
	d.transitTCP.attach(s.stack, d.opts.firstWindow(), d.takeForeignTCP)
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, d.takeForeignUDP)
	s.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, d.takeForeignEcho)
	s.stack.SetTransportProtocolHandler(icmp.ProtocolNumber6, d.takeForeignEcho)
	return s, nil
}

// takeForeignTCP takes requests to connect through the device, see
// handshakes.attach.
func (d *Device) takeForeignTCP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	t := d.transit.Load()
	if t == nil || t.TCP == nil || !connects(pkt) {
		return false
	}
	return d.transitTCP.request(id, pkt, &TCPRequest{device: d, handler: t.TCP}, t.MaxHandshakes)
}

// addressSet is a set of addresses. It is replaced, never changed.
type addressSet map[netip.Addr]struct{}

func newAddressSet(addrs []netip.Addr) *addressSet {
	s := make(addressSet, len(addrs))
	for _, a := range addrs {
		s[a] = struct{}{}
	}
	return &s
}

// owns reports whether a is an address of the device.
func (d *Device) owns(a netip.Addr) bool {
	_, ok := (*d.own.Load())[a]
	return ok
}

// routable reports whether a can be the address of a host beyond the tunnel.
func routable(a netip.Addr) bool {
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.Is4In6(),
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}),
		a.Is6() && a.IsLinkLocalUnicast():
		return false
	}
	return true
}

// takes reports whether packets to a, which is no address of the device, are for t.
func (t *Transit) takes(a netip.Addr) bool {
	return t != nil && (routable(a) || t.Loopback && a.IsLoopback())
}

// comesFromOutside reports whether a packet of the tunnel can be from a.
func (d *Device) comesFromOutside(a netip.Addr) bool { return routable(a) && !d.owns(a) }
