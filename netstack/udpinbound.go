// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// takeRun gives a run of datagrams to the port or to the transit they are for.
// It reports false when they are for neither, and so for the stack.
func (d *Device) takeRun(j *joiner, r *run, t *Transit) bool {
	f := &j.pkts[r.first]
	g := &j.datagrams
	g.Source, g.Destination = f.ports()
	var p *UDPPort
	switch {
	case d.owns(g.Destination.Addr()):
		if p = d.ports.acquire(g.Destination); p == nil {
			return false
		}
	case !t.takes(g.Destination.Addr()):
		return false
	}
	g.Payloads = j.payloads[:0]
	for i := r.first; i >= 0; i = j.pkts[i].next {
		g.Payloads = append(g.Payloads, j.pkts[i].datagram())
	}
	switch {
	case !d.comesFromOutside(g.Source.Addr()):
		d.udp.dropsSource.Add(uint64(r.count))
		if p != nil {
			p.running.Done()
		}
	case p != nil:
		p.call(g)
	default:
		d.callTransit(t, g)
	}
	clear(g.Payloads)
	return true
}

// callTransit hands g to the transit, or says that the port is unreachable.
func (d *Device) callTransit(t *Transit, g *Datagrams) {
	n, size := len(g.Payloads), g.bytes()
	if t.UDP != nil && t.UDP(g) {
		d.udp.transitDatagrams.Add(uint64(n))
		d.udp.transitBytes.Add(uint64(size))
		return
	}
	d.udp.refused.Add(uint64(n))
	d.sendUnreachable(g) // a reply without room is counted and lost
}

// takeOwnUDP is called by the stack with datagrams to the host's own addresses
// that no endpoint wants: those that came in fragments or from the host itself.
// It reports whether there is a port for them.
func (d *Device) takeOwnUDP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	p := d.ports.acquire(netip.AddrPortFrom(fromAddress(id.LocalAddress), id.LocalPort))
	if p == nil {
		return false
	}
	g, ok := d.datagramOf(id, pkt)
	if !ok {
		p.running.Done()
		return true
	}
	// An end of the device that is under way waits for whoever delivers.
	locked := d.closing.TryRLock()
	if locked {
		defer d.closing.RUnlock()
	}
	switch {
	case !locked || d.down:
		d.udp.dropsClosed.Add(1)
		p.running.Done()
	case !routable(g.Source.Addr()):
		d.udp.dropsSource.Add(1)
		p.running.Done()
	default:
		p.call(g)
	}
	return true
}

// takeForeignUDP is takeOwnUDP for transit.
func (d *Device) takeForeignUDP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	if g, ok := d.datagramOf(id, pkt); ok {
		t := d.transit.Load()
		if t == nil { // since a moment
			t = &Transit{}
		}
		d.callTransit(t, g)
	}
	return true
}

// datagramOf returns the datagram in pkt, counting it if its length or checksum
// are wrong.
func (d *Device) datagramOf(id stack.TransportEndpointID, pkt *stack.PacketBuffer) (*Datagrams, bool) {
	h := header.UDP(pkt.TransportHeader().Slice())
	ip := pkt.Network()
	length, sum := header.UDPValid(h, func() uint16 { return pkt.Data().Checksum() }, uint16(pkt.Data().Size()),
		pkt.NetworkProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), pkt.RXChecksumValidated)
	if !length || !sum {
		d.udp.dropsMalformed.Add(1)
		return nil, false
	}
	b := pkt.Data().AsRange().ToSlice()
	return &Datagrams{
		Source:      netip.AddrPortFrom(fromAddress(id.RemoteAddress), id.RemotePort),
		Destination: netip.AddrPortFrom(fromAddress(id.LocalAddress), id.LocalPort),
		Payloads:    [][]byte{b[:min(len(b), int(h.Length())-udpHeaderLen)]},
	}, true
}

// loop delivers datagrams that the host sends to one of its own addresses, and
// returns how many.
func (d *Device) loop(src, dst netip.AddrPort, payloads [][]byte) (int, error) {
	if !d.closing.TryRLock() { // as in takeOwnUDP
		return 0, net.ErrClosed
	}
	defer d.closing.RUnlock()
	if d.down {
		return 0, net.ErrClosed
	}
	long := func(p []byte) bool { return len(p) > maxMTU-ip4HeaderLen-udpHeaderLen }
	var tooLong error
	if i := slices.IndexFunc(payloads, long); i >= 0 {
		payloads, tooLong = payloads[:i], syscall.EMSGSIZE
	}
	n := 0
	for n < len(payloads) {
		k := min(len(payloads)-n, maxDatagrams)
		if p := d.ports.acquire(dst); p != nil {
			p.call(&Datagrams{Source: src, Destination: dst, Payloads: payloads[n : n+k]})
		} else if sent, err := d.loopStack(src, dst, payloads[n:n+k]); err != nil {
			return n + sent, err
		}
		n += k
		d.udp.looped.Add(uint64(k))
	}
	return n, tooLong
}

// loopStack delivers datagrams to an endpoint of the stack.
func (d *Device) loopStack(src, dst netip.AddrPort, payloads [][]byte) (int, error) {
	if !d.owns(src.Addr()) { // as from outside
		return d.loopForeign(src, dst, payloads)
	}
	r, terr := d.stack.FindRoute(nicID, toAddress(src.Addr()), toAddress(dst.Addr()), netProto(dst.Addr()), false)
	if terr != nil {
		return 0, stackError(terr)
	}
	defer r.Release()
	for i, p := range payloads {
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
			ReserveHeaderBytes: int(r.MaxHeaderLength()) + udpHeaderLen,
			Payload:            buffer.MakeWithData(p),
		})
		// No checksum: the stack does not look at it here.
		header.UDP(pkt.TransportHeader().Push(udpHeaderLen)).Encode(&header.UDPFields{
			SrcPort: src.Port(), DstPort: dst.Port(), Length: uint16(udpHeaderLen + len(p)),
		})
		pkt.TransportProtocolNumber = udp.ProtocolNumber
		terr := r.WritePacket(stack.NetworkHeaderParams{Protocol: udp.ProtocolNumber, TTL: hopLimit}, pkt)
		pkt.DecRef()
		if terr != nil {
			return i, stackError(terr)
		}
	}
	return len(payloads), nil
}

// loopForeign delivers datagrams from an address that is not the host's to an
// endpoint of the stack, which takes them for packets of the tunnel.
func (d *Device) loopForeign(src, dst netip.AddrPort, payloads [][]byte) (int, error) {
	var f rawIP
	f.init(d, src.Addr(), dst.Addr(), protoUDP, false)
	for _, p := range payloads {
		h := f.udpHeader(src.Port(), dst.Port(), p)
		r := f.start(udpHeaderLen+len(p), 1)
		copyParts(r.b[f.len:], h[:], p, 0)
		b := buffer.MakeWithData(r.b)
		version := r.b[0] >> 4
		r.put()
		d.ipStack.deliver(b, version, true)
	}
	return len(payloads), nil
}

// ports returns source and destination of a datagram.
func (p *inbound) ports() (src, dst netip.AddrPort) {
	a, b := p.addresses()
	u := p.b[p.udp:]
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(u)), netip.AddrPortFrom(b, binary.BigEndian.Uint16(u[2:]))
}

// addresses returns source and destination of a packet.
func (p *inbound) addresses() (src, dst netip.Addr) {
	a := addresses(p.b)
	if len(a) == 8 {
		return netip.AddrFrom4([4]byte(a)), netip.AddrFrom4([4]byte(a[4:]))
	}
	return netip.AddrFrom16([16]byte(a)), netip.AddrFrom16([16]byte(a[16:]))
}

// datagram returns the payload of a datagram.
func (p *inbound) datagram() []byte {
	u := p.b[p.udp:]
	return u[udpHeaderLen:binary.BigEndian.Uint16(u[udpLengthAt:])]
}
