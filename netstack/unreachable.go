// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"github.com/tailscale/wireguard-go/tun"
)

const (
	protoICMP       = 1
	protoICMP6      = 58
	icmpHeaderLen   = 8
	icmpChecksumAt  = 2
	unreachable4    = 3 // type
	portOf4         = 3 // code
	unreachable6    = 1
	portOf6         = 4
	unreachableMTU6 = minMTU6 // the longest error message (RFC 4443, 2.4)
)

// SendUnreachable tells g.Source that nobody listens on the port g.Destination:
// one ICMP message, from the address of the destination, about the first
// payload, or about an empty datagram if there is none. It never waits. Like all
// such messages it is limited to 1,000 a second, 50 at once; those beyond are
// counted and not an error. ENOBUFS means that the ring is full.
func (n *Net) SendUnreachable(g *Datagrams) error {
	err := n.check()
	if err == nil {
		var c Datagrams
		if c.Source, c.Destination, err = g.flow(); err == nil {
			c.Payloads = g.Payloads
			err = n.device.sendUnreachable(&c)
		}
	}
	if err != nil {
		return opError("write", "sendto", "icmp", net.UDPAddrFromAddrPort(g.Destination), net.UDPAddrFromAddrPort(g.Source), err)
	}
	return nil
}

// sendUnreachable is SendUnreachable with addresses as packets have them.
func (d *Device) sendUnreachable(g *Datagrams) error {
	if !d.comesFromOutside(g.Source.Addr()) {
		return net.InvalidAddrError("not an address beyond the tunnel")
	}
	if !d.stack.AllowICMPMessage() {
		d.udp.unreachableLimited.Add(1)
		return nil
	}
	var payload []byte
	if len(g.Payloads) > 0 {
		payload = g.Payloads[0]
	}
	var asked, f rawIP
	asked.init(d, g.Source.Addr(), g.Destination.Addr(), protoUDP, false)
	if udpHeaderLen+len(payload) > asked.limit() {
		return syscall.EMSGSIZE
	}

	// The message, and in it the head of the datagram as it must have been.
	quoted := 0 // of the payload
	if asked.len == ip6HeaderLen {
		f.init(d, g.Destination.Addr(), g.Source.Addr(), protoICMP6, false)
		quoted = min(len(payload), unreachableMTU6-f.len-icmpHeaderLen-asked.len-udpHeaderLen)
	} else {
		f.init(d, g.Destination.Addr(), g.Source.Addr(), protoICMP, false)
	}
	r := f.start(icmpHeaderLen+asked.len+udpHeaderLen+quoted, 1)
	m := r.b[f.len:]
	q := m[icmpHeaderLen:]
	copy(q, asked.header[:asked.len])
	if asked.len == ip6HeaderLen {
		m[0], m[1] = unreachable6, portOf6
		binary.BigEndian.PutUint16(q[4:], uint16(udpHeaderLen+len(payload)))
	} else {
		m[0], m[1] = unreachable4, portOf4
		binary.BigEndian.PutUint16(q[2:], uint16(asked.len+udpHeaderLen+len(payload)))
		sum4(q)
	}
	h := asked.udpHeader(g.Source.Port(), g.Destination.Port(), payload)
	copy(q[asked.len:], h[:])
	copy(q[asked.len+udpHeaderLen:], payload[:quoted])
	clear(m[icmpChecksumAt:icmpHeaderLen])
	binary.BigEndian.PutUint16(m[icmpChecksumAt:], f.icmpSum(m[:icmpHeaderLen], q))
	err := f.put(entry{raw: r, hdr: len(r.b)})
	if err == nil {
		d.udp.unreachable.Add(1)
	}
	return err
}

// icmpSum returns the checksum of a message: its header, with zero for the
// checksum, and the rest.
func (f *rawIP) icmpSum(head, rest []byte) uint16 {
	sum := uint16(0) // ICMP for IPv4 has no pseudo header
	if f.len == ip6HeaderLen {
		sum = f.pseudo(len(head) + len(rest))
	}
	return ^tun.Checksum(rest, sumHead(head, sum))
}

// icmpProto returns the number of ICMP for the family of a.
func icmpProto(a netip.Addr) byte {
	if a.Is4() {
		return protoICMP
	}
	return protoICMP6
}
