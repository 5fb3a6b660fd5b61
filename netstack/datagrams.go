// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"github.com/tailscale/wireguard-go/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
)

const (
	// maxDatagrams is how many datagrams a handler gets at most.
	maxDatagrams = batchSize
	// maxSegments is how many datagrams a superpacket has at most, as in the
	// kernel (UDP_MAX_SEGMENTS in include/linux/udp.h until 2023).
	maxSegments = 64

	udpLengthAt   = 4
	udpChecksumAt = 6
)

// Datagrams are UDP datagrams of one flow, in order. What a handler gets is
// borrowed for the call.
type Datagrams struct {
	Source, Destination netip.AddrPort
	Payloads            [][]byte // at most 128 for a handler
}

// flow returns the addresses as packets have them, or what is wrong with them.
func (g *Datagrams) flow() (src, dst netip.AddrPort, err error) {
	src = netip.AddrPortFrom(g.Source.Addr().Unmap().WithZone(""), g.Source.Port())
	dst = netip.AddrPortFrom(g.Destination.Addr().Unmap().WithZone(""), g.Destination.Port())
	switch {
	case !src.Addr().IsValid() || src.Addr().IsUnspecified() || src.Addr().IsMulticast():
		err = net.InvalidAddrError("not a source of datagrams")
	case !dst.Addr().IsValid() || dst.Addr().IsUnspecified() || dst.Addr().IsMulticast():
		err = net.InvalidAddrError("not a destination of datagrams")
	case src.Addr().Is4() != dst.Addr().Is4():
		err = net.InvalidAddrError("source and destination of different families")
	case dst.Port() == 0:
		err = syscall.EINVAL
	}
	return src, dst, err
}

// SendDatagrams sends the payloads of g, which it copies, from g.Source to
// g.Destination. The source need not be an address of the host: routers answer
// for others. It returns how many it sent, and an error if not all:
// net.ErrClosed once the device is closed, EMSGSIZE for a payload that no
// packet carries.
//
// It waits for room in the ring, so handlers of arriving packets must not call
// it: see [Net.OpenUDPPort]. Payloads of the same size that follow each other
// cost little more than one. A payload longer than the MTU allows is sent in
// fragments. What is sent to an address of the host is handed over before
// SendDatagrams returns.
func (n *Net) SendDatagrams(g *Datagrams) (int, error) {
	sent, err := n.sendDatagrams(g)
	if err != nil {
		err = opError("write", "sendto", "udp", net.UDPAddrFromAddrPort(g.Source), net.UDPAddrFromAddrPort(g.Destination), err)
	}
	return sent, err
}

func (n *Net) sendDatagrams(g *Datagrams) (sent int, err error) {
	if err := n.check(); err != nil {
		return 0, err
	}
	src, dst, err := g.flow()
	if err != nil {
		return 0, err
	}
	d := n.device
	if d.owns(dst.Addr()) {
		return d.loop(src, dst, g.Payloads)
	}
	var f rawIP
	f.init(d, src.Addr(), dst.Addr(), protoUDP, true)
	size := 0
	for sent < len(g.Payloads) {
		var k int
		if k, err = f.sendUDP(src.Port(), dst.Port(), g.Payloads[sent:]); err != nil {
			break
		}
		for _, p := range g.Payloads[sent : sent+k] {
			size += len(p)
		}
		sent += k
	}
	d.udp.sent.Add(uint64(sent))
	d.udp.sentBytes.Add(uint64(size))
	return sent, err
}

// sendUDP sends the first of payloads, and those behind it that go into the same
// superpacket. It returns how many.
func (f *rawIP) sendUDP(from, to uint16, payloads [][]byte) (int, error) {
	per := len(payloads[0])
	if per+udpHeaderLen > f.limit() {
		return 0, syscall.EMSGSIZE
	}
	hdr := f.len + udpHeaderLen
	if hdr+per > int(f.d.mtu.Load()) {
		f.d.udp.sentFragmented.Add(1)
		h := f.udpHeader(from, to, payloads[0])
		return 1, f.send(h[:], payloads[0])
	}
	n, total := 1, per
	for most := f.mostSegments(per); n < min(most, len(payloads)); {
		k := len(payloads[n])
		if k > per || k == 0 { // an empty one would vanish
			break
		}
		n, total = n+1, total+k
		if k < per {
			break
		}
	}
	r := f.start(udpHeaderLen+total, n)
	at := hdr
	for _, p := range payloads[:n] {
		at += copy(r.b[at:], p)
	}
	e := entry{raw: r, hdr: hdr}
	if n > 1 {
		e.mss = per // Read completes lengths and checksums
	}
	u := r.b[f.len:]
	binary.BigEndian.PutUint16(u[0:], from)
	binary.BigEndian.PutUint16(u[2:], to)
	binary.BigEndian.PutUint16(u[udpLengthAt:], uint16(udpHeaderLen+total))
	u[udpChecksumAt], u[udpChecksumAt+1] = 0, 0
	if n == 1 {
		binary.BigEndian.PutUint16(u[udpChecksumAt:], udpSum(tun.Checksum(u, f.pseudo(len(u)))))
	}
	return n, f.put(e)
}

// mostSegments returns how many datagrams of per bytes go into a superpacket:
// as many as let two of these fill a Read, like gsoMaxSize.
func (f *rawIP) mostSegments(per int) int {
	if per == 0 {
		return 1
	}
	hdr := f.len + udpHeaderLen
	return max(min(maxSegments, (maxMTU-hdr)/per, (slabSize-spacing)/(2*(hdr+per+spacing))), 1)
}

// udpHeader returns the header of one datagram.
func (f *rawIP) udpHeader(from, to uint16, payload []byte) (h [udpHeaderLen]byte) {
	n := udpHeaderLen + len(payload)
	binary.BigEndian.PutUint16(h[0:], from)
	binary.BigEndian.PutUint16(h[2:], to)
	binary.BigEndian.PutUint16(h[udpLengthAt:], uint16(n))
	sum := udpSum(tun.Checksum(payload, sumHead(h[:], f.pseudo(n))))
	binary.BigEndian.PutUint16(h[udpChecksumAt:], sum)
	return h
}

// udpSum returns the checksum for a sum. Zero would mean that there is none
// (RFC 768).
func udpSum(sum uint16) uint16 {
	if sum == checksumOK {
		return sum
	}
	return ^sum
}

// SourceFor returns the address of the host that packets to dst are sent from.
func (n *Net) SourceFor(dst netip.Addr) (netip.Addr, error) {
	dst = dst.Unmap().WithZone("")
	err := n.check()
	if err == nil && !dst.IsValid() {
		err = net.InvalidAddrError("no address")
	}
	if err == nil {
		r, terr := n.stack.FindRoute(nicID, tcpip.Address{}, toAddress(dst), netProto(dst), false)
		if terr == nil {
			defer r.Release()
			return fromAddress(r.LocalAddress()), nil
		}
		err = stackError(terr)
	}
	return netip.Addr{}, opError("route", "connect", "ip", nil, &net.IPAddr{IP: dst.AsSlice()}, err)
}
