// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// SetHandshakeTimeout shortens the time that Accept waits for a client.
func (d *Device) SetHandshakeTimeout(t time.Duration) {
	d.portTCP.timeout, d.transitTCP.timeout = t, t
}

// SetConnectTimeout shortens the time that a target has to answer.
func (n *Net) SetConnectTimeout(t time.Duration) { n.connectTimeout = t }

// SetKeepAliveInterval shortens the time between the probes of a connection.
func SetKeepAliveInterval(c net.Conn, d time.Duration) {
	v := tcpip.KeepaliveIntervalOption(d)
	c.(*tcpConn).ep.SetSockOpt(&v)
}

// InTimeWait reports whether the connection of a client to a port of the device
// or, in transit, to a foreign address waits for the last of its packets.
func (d *Device) InTimeWait(transit bool, client, local netip.AddrPort) bool {
	h := &d.portTCP
	if transit {
		h = &d.transitTCP
	}
	proto := header.IPv4ProtocolNumber
	if local.Addr().Is6() {
		proto = header.IPv6ProtocolNumber
	}
	return inTimeWait(h.stack, proto, stack.TransportEndpointID{
		LocalAddress: toAddress(local.Addr()), LocalPort: local.Port(),
		RemoteAddress: toAddress(client.Addr()), RemotePort: client.Port(),
	}) != nil
}
