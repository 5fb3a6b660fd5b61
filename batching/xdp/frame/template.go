// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/tailscale/wireguard-go/tun"
)

// defaultTTL is the kernel's default of net.ipv4.ip_default_ttl and
// net.ipv6.conf.*.hop_limit.
const defaultTTL = 64

// maxFlowLabel is the largest IPv6 flow label: 20 bits.
const maxFlowLabel = 1<<20 - 1

// Parts of the flags and fragment offset of IPv4.
const (
	dontFragment   = 0x4000
	moreFragments  = 0x2000
	fragmentOffset = 0x1fff
)

// Options describes the frames to one destination.
type Options struct {
	// Source and Target are the Ethernet addresses of this host's interface and
	// of the next hop.
	Source, Target MAC
	// Tag is the VLAN tag; the zero value is none.
	Tag Tag
	// Src and Dst are the addresses of the datagram, of one family. They are
	// unicast (only the routing table knows a subnet's broadcast address: not
	// checked); ports are not 0; zones are ignored.
	Src, Dst netip.AddrPort
	// TrafficClass is the type of service or traffic class: DSCP in the upper 6
	// bits, ECN in the lower 2.
	TrafficClass uint8
	// TTL is the time to live or hop limit; 0 means 64.
	TTL uint8
	// DontFragment sets DF, IPv4 only. The kernel leaves it clear for a socket
	// with IP_PMTUDISC_DONT, which is what package batching opens.
	DontFragment bool
	// FlowLabel is that of IPv6, at most 20 bits. Routers may spread flows by
	// it, so it should be the same for all datagrams of a flow (RFC 6437).
	FlowLabel uint32
	// NoChecksum leaves the UDP checksum 0, which means none. IPv4 only: IPv6
	// forbids it (RFC 8200 section 8.1). The default is what the kernel sends.
	NoChecksum bool
}

// A Template writes the frames to one destination. It never changes.
type Template struct {
	head     [MaxHeaderLen]byte
	n        int // length of head up to the end of the UDP header
	ip       int // where the IP header begins
	v4       bool
	checksum bool
	// partial sums in ones' complement, not folded
	ipSum  uint32 // the IPv4 header without total length, identification
	udpSum uint32 // pseudo header and ports, without the UDP length, which is in both
}

// New returns the template for o, or an error that names the first option that
// is wrong.
func New(o *Options) (*Template, error) {
	src := netip.AddrPortFrom(o.Src.Addr().Unmap().WithZone(""), o.Src.Port())
	dst := netip.AddrPortFrom(o.Dst.Addr().Unmap().WithZone(""), o.Dst.Port())
	if err := o.check(src, dst); err != nil {
		return nil, err
	}
	t := &Template{ip: ethernetLen, v4: dst.Addr().Is4(), checksum: !o.NoChecksum}
	b := t.head[:]
	copy(b, o.Target[:])
	copy(b[6:], o.Source[:])
	if o.Tag.Type != 0 {
		binary.BigEndian.PutUint16(b[12:], o.Tag.Type)
		binary.BigEndian.PutUint16(b[14:], o.Tag.TCI)
		t.ip += tagLen
	}
	ttl := o.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	ip, udp := b[t.ip:], t.ip+ipv6Len
	if t.v4 {
		udp = t.ip + ipv4Len
		binary.BigEndian.PutUint16(b[t.ip-2:], typeIPv4)
		ip[0], ip[1], ip[8], ip[9] = 0x45, o.TrafficClass, ttl, protoUDP
		if o.DontFragment {
			binary.BigEndian.PutUint16(ip[6:], dontFragment)
		}
		putAddrs(ip[12:], src.Addr(), dst.Addr())
		t.ipSum = uint32(tun.Checksum(ip[:ipv4Len], 0))
		t.udpSum = uint32(tun.Checksum(ip[12:ipv4Len], protoUDP))
	} else {
		binary.BigEndian.PutUint16(b[t.ip-2:], typeIPv6)
		binary.BigEndian.PutUint32(ip, 6<<28|uint32(o.TrafficClass)<<20|o.FlowLabel)
		ip[6], ip[7] = protoUDP, ttl
		putAddrs(ip[8:], src.Addr(), dst.Addr())
		t.udpSum = uint32(tun.Checksum(ip[8:ipv6Len], protoUDP))
	}
	binary.BigEndian.PutUint16(b[udp:], src.Port())
	binary.BigEndian.PutUint16(b[udp+2:], dst.Port())
	t.udpSum += uint32(src.Port()) + uint32(dst.Port())
	t.n = udp + udpLen
	return t, nil
}

// putAddrs writes both addresses, of one family, into b.
func putAddrs(b []byte, src, dst netip.Addr) {
	n := copy(b, src.AsSlice())
	copy(b[n:], dst.AsSlice())
}

// check returns what is wrong with o; src and dst are its addresses, cleaned.
func (o *Options) check(src, dst netip.AddrPort) error {
	switch {
	case !src.IsValid() || !dst.IsValid():
		return errors.New("frame: no source or no destination address")
	case src.Addr().Is4() != dst.Addr().Is4():
		return fmt.Errorf("frame: source %v and destination %v are of different families", src, dst)
	case src.Port() == 0 || dst.Port() == 0:
		return fmt.Errorf("frame: port 0 in source %v or destination %v", src, dst)
	case !unicast(src.Addr()) || !unicast(dst.Addr()):
		return fmt.Errorf("frame: source %v or destination %v is not unicast", src, dst)
	case o.Source[0]&1 != 0 || o.Target[0]&1 != 0:
		return fmt.Errorf("frame: source %v or target %v is a group address", o.Source, o.Target)
	case o.Source == MAC{} || o.Target == MAC{}:
		return errors.New("frame: source or target is not set")
	case o.Tag != (Tag{}) && o.Tag.Type != TypeCTag && o.Tag.Type != TypeSTag:
		return fmt.Errorf("frame: tag type %#04x is neither 802.1Q nor 802.1ad", o.Tag.Type)
	case o.FlowLabel > maxFlowLabel:
		return fmt.Errorf("frame: flow label %#x has more than 20 bits", o.FlowLabel)
	case dst.Addr().Is4() && o.FlowLabel != 0:
		return errors.New("frame: flow label for IPv4")
	case dst.Addr().Is6() && o.NoChecksum:
		return errors.New("frame: IPv6 needs the UDP checksum")
	case dst.Addr().Is6() && o.DontFragment:
		return errors.New("frame: IPv6 has no DF bit")
	}
	return nil
}
