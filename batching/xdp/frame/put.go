// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/tailscale/wireguard-go/tun"
	"github.com/tunrouter/tunrouter/geneve"
)

// maxIPLen is the largest total length of IPv4 and payload length of IPv6.
const maxIPLen = 0xffff

// ErrTooLarge means that the datagram is longer than IP and UDP can say.
var ErrTooLarge = errors.New("frame: datagram is longer than 65535 bytes")

// HeaderLen returns the number of bytes in front of a payload: 42 to
// [MaxHeaderLen]. With a VNI that is set the Geneve header is among them.
func (t *Template) HeaderLen(vni geneve.VNI) int {
	if vni.IsSet() {
		return t.n + geneve.HeaderLen
	}
	return t.n
}

// MaxPayload returns how many bytes of payload fit an IP packet of mtu bytes;
// negative when not even the headers do.
func (t *Template) MaxPayload(mtu int, vni geneve.VNI) int {
	limit := maxIPLen
	if !t.v4 {
		limit += ipv6Len // which IPv6 does not count
	}
	return min(mtu, limit) - (t.HeaderLen(vni) - t.ip)
}

// Put writes the frame with the payload into b and returns its length. id is
// the IPv4 identification: it must not repeat between the same two addresses
// while fragments may live, unless DF is set (RFC 6864); IPv6 has none. With a
// VNI that is set, a Geneve header for WireGuard comes first.
//
// payload may overlap b. The error is [io.ErrShortBuffer] when b is too short,
// or that of [Template.Finish]; b is no frame then.
func (t *Template) Put(b []byte, id uint16, vni geneve.VNI, payload []byte) (int, error) {
	at := t.HeaderLen(vni)
	n := at + len(payload)
	if len(payload) > t.MaxPayload(1<<20, vni) {
		return 0, ErrTooLarge
	}
	if len(b) < n {
		return 0, io.ErrShortBuffer
	}
	copy(b[at:n], payload)
	return n, t.Finish(b[:n], id, vni)
}

// Finish writes the headers in front of a payload that is already there: b is
// the frame from its first byte to its last, and the payload begins at
// HeaderLen(vni). The arguments are those of [Template.Put].
//
// The error is [io.ErrShortBuffer] when b has no room for the headers,
// [ErrTooLarge], or that of a VNI out of range; nothing is written then.
func (t *Template) Finish(b []byte, id uint16, vni geneve.VNI) error {
	if len(b) < t.HeaderLen(vni) {
		return io.ErrShortBuffer
	}
	if len(b)-t.HeaderLen(vni) > t.MaxPayload(1<<20, vni) {
		return ErrTooLarge
	}
	if vni.IsSet() {
		h := geneve.Header{VNI: vni, Protocol: geneve.ProtocolWireGuard}
		if _, err := h.Put(b[t.n:]); err != nil {
			return err
		}
	}
	copy(b, t.head[:t.n])
	length := uint32(len(b) - t.n + udpLen)
	ip, udp := b[t.ip:], b[t.n-udpLen:]
	if t.v4 {
		total := length + ipv4Len
		binary.BigEndian.PutUint16(ip[2:], uint16(total))
		binary.BigEndian.PutUint16(ip[4:], id)
		binary.BigEndian.PutUint16(ip[10:], ^fold(t.ipSum+total+uint32(id)))
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(length))
	}
	binary.BigEndian.PutUint16(udp[4:], uint16(length))
	if t.checksum {
		// The length counts twice: in the pseudo header and in the header.
		sum := ^tun.Checksum(b[t.n:], fold(t.udpSum+2*length))
		if sum == 0 {
			sum = 0xffff // its equal: zero means that there is none
		}
		binary.BigEndian.PutUint16(udp[6:], sum)
	}
	return nil
}

// fold adds the carries of a sum in ones' complement to its lower half.
func fold(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}
