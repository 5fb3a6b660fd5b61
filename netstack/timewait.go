// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// tcpFlagSYN asks for a connection.
const tcpFlagSYN = 0x02

// reopens takes the request of a client that uses the port of a connection
// which waits here for the last of its packets (RFC 9293, 3.6.1), and reports
// whether p was one.
//
// The stack gives such a request to a listener, and drops it if there is none
// (gVisor transport/tcp/connect.go, handleTimeWaitSegments, 2026-09). There is
// none where handlers take the requests, as h does: a client that opens 500
// connections a second and takes its ports at random would wait a second or more
// for every tenth. That the request is newer than the connection is not checked:
// an old copy of one leads to an answer that its client refuses.
func reopens(h *handshakes, p *inbound) bool {
	if !p.connects() {
		return false
	}
	proto := header.IPv4ProtocolNumber
	if p.b[0]>>4 == 6 {
		proto = header.IPv6ProtocolNumber
	}
	src, dst := p.addresses()
	t := header.TCP(p.b[p.tcp:p.data])
	id := stack.TransportEndpointID{
		LocalAddress: toAddress(dst), LocalPort: t.DestinationPort(),
		RemoteAddress: toAddress(src), RemotePort: t.SourcePort(),
	}
	if inTimeWait(h.stack, proto, id) == nil {
		return false
	}
	v := buffer.NewView(len(p.b))
	v.Write(p.b)
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
	defer pkt.DecRef()
	pkt.NICID = nicID
	pkt.NetworkProtocolNumber, pkt.TransportProtocolNumber = proto, tcp.ProtocolNumber
	pkt.RXChecksumValidated = p.verified
	if _, ok := pkt.NetworkHeader().Consume(p.tcp); !ok {
		return false
	}
	if _, ok := pkt.TransportHeader().Consume(p.data - p.tcp); !ok {
		return false
	}
	return h.take(id, pkt)
}

// connects reports whether p asks for a connection, in the simplest form.
func (p *inbound) connects() bool {
	return p.tcp != 0 && p.tcp == ipHeaderLen(p.b) && p.data <= len(p.b) &&
		p.b[p.tcp+tcpFlagsAt]&(tcpFlagSYN|tcpFlagACK) == tcpFlagSYN
}

// inTimeWait returns the connection with this id if it is in TIME_WAIT.
func inTimeWait(s *stack.Stack, proto tcpip.NetworkProtocolNumber, id stack.TransportEndpointID) stack.TransportEndpoint {
	ep := s.FindTransportEndpoint(proto, tcp.ProtocolNumber, id, nicID)
	if e, ok := ep.(*tcp.Endpoint); ok && e.EndpointState() == tcp.StateTimeWait {
		return ep
	}
	return nil
}

// endTimeWait makes way for a new connection with this id. It may wait in a
// ring. Its reset is not one for the new connection: it acknowledges the old.
func endTimeWait(s *stack.Stack, id stack.TransportEndpointID) {
	proto := header.IPv4ProtocolNumber
	if id.LocalAddress.Len() != header.IPv4AddressSize {
		proto = header.IPv6ProtocolNumber
	}
	if ep := inTimeWait(s, proto, id); ep != nil {
		ep.Abort()
	}
}

// ipHeaderLen returns the length of an IP header without options or extensions.
func ipHeaderLen(b []byte) int {
	if b[0]>>4 == 4 {
		return ip4HeaderLen
	}
	return ip6HeaderLen
}
