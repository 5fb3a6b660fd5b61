// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"encoding/binary"
	"slices"
)

// A kernelPacket is a packet as a TUN queue delivers it, and what must become of
// it. It is described by what it is; read makes the bytes, want the result.
type kernelPacket struct {
	v6        bool
	udp       bool // else TCP
	extension int  // bytes of IPv4 options or IPv6 extension headers; multiple of 4 or 8
	options   int  // bytes of TCP options, multiple of 4
	flags     byte // TCP flags
	id        uint16
	seq       uint32
	seed      byte // of the payload
	payload   int
	gso       int  // segment size; 0: not to be cut
	partial   bool // if not to be cut: the checksum is left to the device

	spoil func(frame []byte) // makes it malformed: nothing comes of it
}

const (
	fin, psh, ack = 1, 8, 16
)

func (k *kernelPacket) ipLen() int {
	if k.v6 {
		return 40 + k.extension
	}
	return 20 + k.extension
}

func (k *kernelPacket) transportLen() int {
	if k.udp {
		return 8
	}
	return 20 + k.options
}

// segment builds the packet that carries the payload bytes from..to, the n-th
// of its superpacket, from scratch.
func (k *kernelPacket) segment(n, from, to int, last bool) []byte {
	ip, th := k.ipLen(), k.transportLen()
	b := make([]byte, ip+th+to-from)
	proto := byte(6)
	if k.udp {
		proto = 17
	}
	if k.v6 {
		b[0] = 6 << 4
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		b[6], b[7] = proto, 64
		if k.extension > 0 { // one destination options header, padded
			b[6], b[40], b[41] = 60, proto, byte(k.extension/8-1)
			b[42], b[43] = 1, byte(k.extension-4)
		}
		for i := range 32 {
			b[8+i] = byte(0x30 + i)
		}
	} else {
		b[0] = 4<<4 | byte(ip/4)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], k.id+uint16(n))
		b[6], b[8], b[9] = 0x40, 64, proto
		copy(b[12:], []byte{10, 9, 0, 1, 10, 9, 0, 2})
		for i := range k.extension {
			b[20+i] = 1 // no operation
		}
		binary.BigEndian.PutUint16(b[10:], ^naiveSum(0, b[:ip]))
	}
	t := b[ip:]
	binary.BigEndian.PutUint16(t, 4321)
	binary.BigEndian.PutUint16(t[2:], 80)
	check := 16
	if k.udp {
		check = 6
		binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
	} else {
		binary.BigEndian.PutUint32(t[4:], k.seq+uint32(from))
		binary.BigEndian.PutUint32(t[8:], 0x01020304)
		t[12], t[13] = byte(th/4)<<4, k.flags
		if !last {
			t[13] &^= fin | psh
		}
		binary.BigEndian.PutUint16(t[14:], 0x2000)
		for i := range k.options {
			t[20+i] = 1
		}
	}
	for i := range to - from {
		t[th+i] = k.seed + byte(from+i) ^ byte((from+i)>>8)
	}
	sum := ^naiveSum(k.pseudo(b, len(t)), t)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(t[check:], sum)
	return b
}

// pseudo returns the sum over the pseudo header for n bytes of transport.
func (k *kernelPacket) pseudo(b []byte, n int) uint16 {
	addresses := b[12:20]
	if k.v6 {
		addresses = b[8:40]
	}
	proto := uint16(6)
	if k.udp {
		proto = 17
	}
	return naiveSum(0, slices.Concat(addresses, binary.BigEndian.AppendUint16(nil, proto), binary.BigEndian.AppendUint16(nil, uint16(n))))
}

// naiveSum is the one's complement sum of RFC 1071, two bytes at a time.
func naiveSum(initial uint16, b []byte) uint16 {
	sum := uint32(initial)
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum>>16 + sum&0xffff)
}

// frame returns what read(2) gives: virtio header and packet.
func (k *kernelPacket) frame() []byte {
	b := k.segment(0, 0, k.payload, true)
	hdr := make([]byte, 10)
	start, check := k.ipLen(), 16
	if k.udp {
		check = 6
	}
	if k.gso > 0 || k.partial {
		hdr[0] = 1
		binary.NativeEndian.PutUint16(hdr[6:], uint16(start))
		binary.NativeEndian.PutUint16(hdr[8:], uint16(check))
		binary.BigEndian.PutUint16(b[start+check:], k.pseudo(b, len(b)-start))
	}
	if k.gso > 0 {
		switch {
		case k.udp:
			hdr[1] = 5
		case k.v6:
			hdr[1] = 4
		default:
			hdr[1] = 1
		}
		binary.NativeEndian.PutUint16(hdr[2:], 0xfff0) // not to be relied on
		binary.NativeEndian.PutUint16(hdr[4:], uint16(k.gso))
	}
	frame := append(hdr, b...)
	if k.spoil != nil {
		k.spoil(frame)
	}
	return frame
}

// want returns the packets that must come of it.
func (k *kernelPacket) want() [][]byte {
	switch {
	case k.spoil != nil:
		return nil
	case k.gso == 0 || k.payload <= k.gso:
		return [][]byte{k.segment(0, 0, k.payload, true)}
	}
	var out [][]byte
	for from := 0; from < k.payload; from += k.gso {
		to := min(from+k.gso, k.payload)
		out = append(out, k.segment(len(out), from, to, to == k.payload))
	}
	return out
}
