// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import "sync/atomic"

// UDPStats is what was done with UDP datagrams without a socket: those of
// [UDPPort], [Transit] and [Net.SendDatagrams]. The sockets of ListenPacket and
// DialContext are not in it.
type UDPStats struct {
	Ports int // open now

	PortDatagrams    uint64 // handed to ports
	PortBytes        uint64 // of their payloads
	TransitDatagrams uint64 // that Transit.UDP took
	TransitBytes     uint64

	Sent           uint64 // by SendDatagrams, into the tunnel
	SentBytes      uint64 // of their payloads
	SentFragmented uint64 // of Sent: longer than the MTU
	Looped         uint64 // by SendDatagrams, to the host itself

	Unreachable        uint64 // messages sent: port unreachable
	UnreachableLimited uint64 // not sent, beyond the rate

	DropsRefused   uint64 // that Transit.UDP did not take
	DropsSource    uint64 // from an address that nobody has beyond the tunnel
	DropsMalformed uint64 // wrong length or checksum, found after reassembly
	DropsClosed    uint64 // arrived while the device was closed
}

// udpCounters are written once per run of datagrams.
type udpCounters struct {
	portDatagrams, portBytes, transitDatagrams, transitBytes atomic.Uint64
	sent, sentBytes, sentFragmented, looped                  atomic.Uint64
	unreachable, unreachableLimited                          atomic.Uint64
	refused, dropsSource, dropsMalformed, dropsClosed        atomic.Uint64
}

func (d *Device) udpStats() UDPStats {
	c := &d.udp
	return UDPStats{
		Ports:              int(d.ports.count.Load()),
		PortDatagrams:      c.portDatagrams.Load(),
		PortBytes:          c.portBytes.Load(),
		TransitDatagrams:   c.transitDatagrams.Load(),
		TransitBytes:       c.transitBytes.Load(),
		Sent:               c.sent.Load(),
		SentBytes:          c.sentBytes.Load(),
		SentFragmented:     c.sentFragmented.Load(),
		Looped:             c.looped.Load(),
		Unreachable:        c.unreachable.Load(),
		UnreachableLimited: c.unreachableLimited.Load(),
		DropsRefused:       c.refused.Load(),
		DropsSource:        c.dropsSource.Load(),
		DropsMalformed:     c.dropsMalformed.Load(),
		DropsClosed:        c.dropsClosed.Load(),
	}
}

func (d *Device) echoStats() EchoStats {
	c := &d.echo
	return EchoStats{
		Requests:      c.requests.Load(),
		Replies:       c.replies.Load(),
		DropsRefused:  c.dropsRefused.Load(),
		DropsChecksum: c.dropsChecksum.Load(),
	}
}
