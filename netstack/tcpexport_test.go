// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"net"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
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
