// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
)

// echoSendTimeout is how long a request may wait for room in the send buffer.
const echoSendTimeout = 100 * time.Millisecond

// An icmpSocket is an ICMP socket of the system: one for echo only, which needs
// no privilege where net.ipv4.ping_group_range has the group of the process, or
// a raw one.
type icmpSocket struct {
	conn       *icmp.PacketConn
	raw        bool
	identifier uint16 // of raw
}

// openEcho opens an unprivileged socket, or else a raw one. The error is that of
// the unprivileged one.
func openEcho(is6 bool) (echoSocket, error) {
	kind, privileged, all := "udp4", "ip4:icmp", "0.0.0.0"
	if is6 {
		kind, privileged, all = "udp6", "ip6:ipv6-icmp", "::"
	}
	c, err := icmp.ListenPacket(kind, all)
	if err == nil {
		return &icmpSocket{conn: c}, nil
	}
	c, rawErr := icmp.ListenPacket(privileged, all)
	if rawErr != nil {
		return nil, errors.Join(err, rawErr)
	}
	s := &icmpSocket{conn: c, raw: true}
	var id [2]byte
	rand.Read(id[:])
	s.identifier = be16(id[:])
	if is6 {
		// Otherwise each message to this host is copied to this socket.
		var f ipv6.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv6.ICMPTypeEchoReply)
		_ = c.IPv6PacketConn().SetICMPFilter(&f) // others are passed over
	}
	return s, nil
}

func (s *icmpSocket) mine(identifier uint16) bool { return !s.raw || identifier == s.identifier }

// write sends message, whose identifier and checksum it sets where the kernel
// does not.
func (s *icmpSocket) write(message []byte, to netip.Addr) error {
	var dst net.Addr = &net.UDPAddr{IP: to.AsSlice()}
	if s.raw {
		dst = &net.IPAddr{IP: to.AsSlice()}
		putBE16(message[4:], s.identifier)
	}
	putBE16(message[2:], 0)
	if to.Is4() {
		putBE16(message[2:], internetChecksum(message))
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(echoSendTimeout)); err != nil {
		return err
	}
	_, err := s.conn.WriteTo(message, dst)
	return err
}

func (s *icmpSocket) read(b []byte) (n int, from netip.Addr, err error) {
	n, addr, err := s.conn.ReadFrom(b)
	if err != nil {
		return 0, netip.Addr{}, err
	}
	switch a := addr.(type) {
	case *net.UDPAddr:
		from = a.AddrPort().Addr()
	case *net.IPAddr:
		from, _ = netip.AddrFromSlice(a.IP)
	}
	return n, from.Unmap().WithZone(""), nil
}

func (s *icmpSocket) Close() error { return s.conn.Close() }

// internetChecksum returns the checksum of b (RFC 1071), whose own field is 0.
func internetChecksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(be16(b))
		sum = sum&0xffff + sum>>16
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return ^uint16(sum&0xffff + sum>>16)
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }

func putBE16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }
