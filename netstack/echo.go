// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/tailscale/wireguard-go/tun"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// EchoStats is what became of echo requests to addresses that the device does
// not have. Its own answer by themselves and are not counted.
type EchoStats struct {
	Requests uint64 // that Transit.Echo took
	Replies  uint64 // of SendEchoReply

	DropsRefused  uint64 // that it did not take
	DropsChecksum uint64
}

type echoCounters struct {
	requests, replies           atomic.Uint64
	dropsRefused, dropsChecksum atomic.Uint64
}

// takeEcho gives the echo request p, which is not for the device, to t. It may
// borrow e. Requests in fragments come from the stack, see takeForeignEcho.
func (d *Device) takeEcho(e *Echo, p *inbound, t *Transit) {
	e.Source, e.Destination = p.addresses()
	e.Message = p.b[p.echo:]
	a := addresses(p.b)
	sum := uint16(0)
	if e.Source.Is6() {
		sum = tun.PseudoHeaderChecksum(protoICMP6, a[:16], a[16:], uint16(len(e.Message)))
	}
	if tun.Checksum(e.Message, sum) != checksumOK {
		d.echo.dropsChecksum.Add(1)
		return
	}
	d.callEcho(t, e)
}

func (d *Device) callEcho(t *Transit, e *Echo) {
	if t.Echo != nil && t.Echo(e) {
		d.echo.requests.Add(1)
	} else {
		d.echo.dropsRefused.Add(1)
	}
}

// takeForeignEcho is called by the stack with ICMP messages of transit that it
// has put together from fragments and verified, and takes echo requests. For
// others it has uses of its own.
func (d *Device) takeForeignEcho(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	e := &Echo{Source: fromAddress(id.RemoteAddress), Destination: fromAddress(id.LocalAddress)}
	v := stack.PayloadSince(pkt.TransportHeader())
	defer v.Release()
	e.Message = v.AsSlice()
	if len(e.Message) < icmpHeaderLen || e.Message[0] != echoRequest(e.Source) {
		return false
	}
	t := d.transit.Load()
	if t == nil { // since a moment
		t = &Transit{}
	}
	d.callEcho(t, e)
	return true
}

// echoRequest returns the type of echo requests in the family of a.
func echoRequest(a netip.Addr) byte {
	if a.Is4() {
		return echoRequest4
	}
	return echoRequest6
}

// SendEchoReply sends message, a whole ICMP echo reply from the type on, between
// any two addresses of one family. The checksum is filled in on the way; message
// is copied and not changed. It never waits: ENOBUFS means that the ring is
// full.
func (n *Net) SendEchoReply(from, to netip.Addr, message []byte) error {
	from, to = from.Unmap().WithZone(""), to.Unmap().WithZone("")
	if err := n.sendEchoReply(from, to, message); err != nil {
		return opError("write", "sendto", "icmp", &net.IPAddr{IP: from.AsSlice()}, &net.IPAddr{IP: to.AsSlice()}, err)
	}
	return nil
}

func (n *Net) sendEchoReply(from, to netip.Addr, message []byte) error {
	if err := n.check(); err != nil {
		return err
	}
	d := n.device
	switch {
	case !routable(from) && !from.IsLoopback(), !d.comesFromOutside(to), from.Is4() != to.Is4():
		return net.InvalidAddrError("not addresses of a reply")
	case len(message) < icmpHeaderLen:
		return syscall.EINVAL
	}
	var f rawIP
	f.init(d, from, to, icmpProto(to), false)
	h, rest := [icmpHeaderLen]byte(message), message[icmpHeaderLen:]
	h[icmpChecksumAt], h[icmpChecksumAt+1] = 0, 0
	binary.BigEndian.PutUint16(h[icmpChecksumAt:], f.icmpSum(h[:], rest))
	err := f.send(h[:], rest)
	if err == nil {
		d.echo.replies.Add(1)
	}
	return err
}
