// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame

import (
	"encoding/binary"
	"net/netip"

	"github.com/tailscale/wireguard-go/tun"
)

// validSum is what the bytes under a correct checksum add up to, the checksum
// among them.
const validSum = 0xffff

// A Datagram is what [Datagram.Parse] found in a frame.
type Datagram struct {
	// Source and Target are the Ethernet addresses. In promiscuous mode Target
	// may be another host's; the kernel drops such frames.
	Source, Target MAC
	// Tag is the VLAN tag in the frame. One that the device took out is not
	// here.
	Tag Tag
	// Src and Dst are the addresses, without zone.
	Src, Dst netip.AddrPort
	// TrafficClass has the DSCP in its upper 6 bits and ECN in its lower 2.
	TrafficClass uint8
	// TTL is the time to live or hop limit that was left.
	TTL uint8
	// Offset and Size are where the UDP payload is in the frame.
	Offset, Size int
}

// ECN returns the congestion bits (RFC 3168): 0 not capable, 1 or 2 capable, 3
// congestion experienced.
func (d *Datagram) ECN() uint8 { return d.TrafficClass & 3 }

// Payload returns the UDP payload in frame, which is the one that was parsed;
// append to it does not overwrite what follows.
func (d *Datagram) Payload(frame []byte) []byte {
	return frame[d.Offset : d.Offset+d.Size : d.Offset+d.Size]
}

// Parse sets every field of d from the frame, or returns why it is no datagram
// for us; d is the zero Datagram then. What is behind the IP packet (padding)
// does not count.
func (d *Datagram) Parse(frame []byte) Reason {
	*d = Datagram{}
	r := d.parse(frame)
	if r != OK {
		*d = Datagram{}
	}
	return r
}

func (d *Datagram) parse(b []byte) Reason {
	if len(b) < ethernetLen {
		return Truncated
	}
	copy(d.Target[:], b)
	copy(d.Source[:], b[6:])
	at, typ := ethernetLen, binary.BigEndian.Uint16(b[12:])
	if typ == TypeCTag || typ == TypeSTag {
		if len(b) < ethernetLen+tagLen {
			return Truncated
		}
		d.Tag = Tag{Type: typ, TCI: binary.BigEndian.Uint16(b[14:])}
		at, typ = ethernetLen+tagLen, binary.BigEndian.Uint16(b[16:])
	}
	switch typ {
	case typeIPv4:
		return d.parse4(b, at)
	case typeIPv6:
		return d.parse6(b, at)
	}
	return NotIP
}

// parse4 reads the IPv4 packet at b[at:].
func (d *Datagram) parse4(b []byte, at int) Reason {
	ip := b[at:]
	if len(ip) < ipv4Len {
		return Truncated
	}
	total := int(binary.BigEndian.Uint16(ip[2:]))
	switch {
	case ip[0]>>4 != 4:
		return NotIP
	case ip[0]&15 > 5:
		return HasOptions
	case ip[0]&15 < 5 || total < ipv4Len || total > len(ip):
		return IPLength
	case binary.BigEndian.Uint16(ip[6:])&(moreFragments|fragmentOffset) != 0:
		return Fragment
	case ip[9] != protoUDP:
		return NotUDP
	case tun.Checksum(ip[:ipv4Len], 0) != validSum:
		return BadHeader
	}
	d.TrafficClass, d.TTL = ip[1], ip[8]
	src, dst := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	return d.parseUDP(b[:at+total], at+ipv4Len, src, dst)
}

// parse6 reads the IPv6 packet at b[at:].
func (d *Datagram) parse6(b []byte, at int) Reason {
	ip := b[at:]
	if len(ip) < ipv6Len {
		return Truncated
	}
	total := ipv6Len + int(binary.BigEndian.Uint16(ip[4:]))
	switch {
	case ip[0]>>4 != 6:
		return NotIP
	case total > len(ip):
		return IPLength
	}
	switch ip[6] {
	case protoUDP:
	case protoFragment:
		return Fragment
	case protoHopByHop, protoRouting, protoAuth, protoDestOpts, protoMobility:
		return HasOptions
	default:
		return NotUDP
	}
	d.TrafficClass, d.TTL = ip[0]<<4|ip[1]>>4, ip[7]
	src, dst := netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	if src.Is4In6() || dst.Is4In6() {
		return BadAddress
	}
	return d.parseUDP(b[:at+total], at+ipv6Len, src, dst)
}

// parseUDP reads the UDP header at b[at:]; b ends where the IP packet does.
func (d *Datagram) parseUDP(b []byte, at int, src, dst netip.Addr) Reason {
	udp := b[at:]
	if len(udp) < udpLen {
		return IPLength
	}
	length := int(binary.BigEndian.Uint16(udp[4:]))
	switch {
	case length < udpLen || length > len(udp):
		return UDPLength
	case src.Is6() && udp[6] == 0 && udp[7] == 0:
		return NoChecksum
	case !unicast(src) || src.IsLoopback() || dst.IsUnspecified() || dst.IsLoopback():
		return BadAddress
	}
	d.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(udp))
	d.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(udp[2:]))
	d.Offset, d.Size = at+udpLen, length-udpLen
	return OK
}

// unicast reports whether a can be the address of one host, by the rules of the
// kernel (net/ipv4/route.c, ip_route_input_slow): since Linux 5.3 and 2.6.25 the
// rest of 0.0.0.0/8 and of 240.0.0.0/4 are addresses like others.
func unicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// ChecksumValid reports whether the UDP checksum of the frame, which is the one
// that was parsed, is right; also when an IPv4 datagram has none. It is false for
// the partial sum that a veth device leaves.
func (d *Datagram) ChecksumValid(frame []byte) bool {
	at := d.Offset - udpLen
	udp := frame[at : d.Offset+d.Size]
	if udp[6] == 0 && udp[7] == 0 {
		return d.Src.Addr().Is4()
	}
	addrs := frame[at-32 : at]
	if d.Src.Addr().Is4() {
		addrs = frame[at-8 : at]
	}
	pseudo := fold(uint32(tun.Checksum(addrs, 0)) + protoUDP + uint32(len(udp)))
	return tun.Checksum(udp, pseudo) == validSum
}
