// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"github.com/tailscale/wireguard-go/tun"
)

const (
	// hopLimit of packets that are built here, as of gVisor's.
	hopLimit = 64

	ip4MoreFragments = 0x2000 // of the 16 bits of flags and offset
	ip6FragmentLen   = 8      // extension header
	ip6MoreFragments = 1
	fragmentUnit     = 8 // offsets count these, in both families
)

// rawIP builds the IP packets of one flow, without gVisor. It is made ready by
// init and used by one goroutine.
type rawIP struct {
	d      *Device
	queue  *queue
	proto  byte
	len    int // of the IP header
	header [ip6HeaderLen]byte
	wait   bool // the sender waits for room
}

// init makes f build packets of proto from src to dst, which are of one family.
func (f *rawIP) init(d *Device, src, dst netip.Addr, proto byte, wait bool) {
	*f = rawIP{d: d, proto: proto, wait: wait, len: ip4HeaderLen}
	h := f.header[:]
	if src.Is4() {
		h[0], h[8], h[9] = 4<<4|ip4HeaderLen/4, hopLimit, proto
		a, b := src.As4(), dst.As4()
		copy(h[12:], a[:])
		copy(h[16:], b[:])
	} else {
		f.len = ip6HeaderLen
		h[0], h[6], h[7] = 6<<4, proto, hopLimit
		a, b := src.As16(), dst.As16()
		copy(h[8:], a[:])
		copy(h[24:], b[:])
	}
	f.queue = d.link.queueOf(d.link.hash(addresses(h), proto))
}

// addresses returns source and destination as they follow each other in the
// header of an IP packet.
func addresses(h []byte) []byte {
	if h[0]>>4 == 6 {
		return h[8:40]
	}
	return h[12:20]
}

// limit returns how many bytes an IP packet can carry behind its header.
func (f *rawIP) limit() int {
	if f.len == ip4HeaderLen {
		return maxMTU - ip4HeaderLen
	}
	return maxMTU - ip6HeaderLen // the packet must fit a slab, not only its length field
}

// pseudo returns the sum over the pseudo header of a transport of n bytes.
func (f *rawIP) pseudo(n int) uint16 {
	a := addresses(f.header[:])
	return tun.PseudoHeaderChecksum(f.proto, a[:len(a)/2], a[len(a)/2:], uint16(n))
}

// start returns a raw packet with room for n bytes behind the IP header, which
// is complete for one packet of that length. packets is how many packets it is
// going to be, with an identification each.
func (f *rawIP) start(n, packets int) *rawPacket {
	r := f.d.raws.get(f.len + n)
	copy(r.b, f.header[:f.len])
	if f.len == ip4HeaderLen {
		id := f.d.ipID.Add(uint32(packets)) - uint32(packets)
		binary.BigEndian.PutUint16(r.b[2:], uint16(len(r.b)))
		binary.BigEndian.PutUint16(r.b[4:], uint16(id))
		sum4(r.b)
	} else {
		binary.BigEndian.PutUint16(r.b[4:], uint16(n))
	}
	return r
}

// sumHead is tun.Checksum for a few bytes, an even number, that stay on the
// stack of the caller.
func sumHead(b []byte, initial uint16) uint16 {
	sum := uint32(initial)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}

// sum4 completes the checksum of an IPv4 header without options.
func sum4(b []byte) {
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^tun.Checksum(b[:ip4HeaderLen], 0))
}

// put gives e, whose raw packet it takes, to the ring. It returns net.ErrClosed,
// or ENOBUFS if f does not wait and there is no room.
func (f *rawIP) put(e entry) error {
	q := f.queue
	e.size = len(e.raw.b)
	switch q.ring.put(e, f.wait) {
	case putDone:
		return nil
	case putFull:
		q.stats.dropFull.Add(1)
		e.release()
		return syscall.ENOBUFS
	}
	q.stats.dropClosed.Add(1)
	e.release()
	return net.ErrClosed
}

// send sends a and b behind each other as one packet, or in fragments when that
// is longer than the MTU. Their checksum is complete.
func (f *rawIP) send(a, b []byte) error {
	n := len(a) + len(b)
	if n > f.limit() {
		return syscall.EMSGSIZE
	}
	mtu := int(f.d.mtu.Load())
	if f.len+n > mtu {
		return f.sendFragments(a, b, mtu)
	}
	r := f.start(n, 1)
	copy(r.b[f.len+copy(r.b[f.len:], a):], b)
	return f.put(entry{raw: r, hdr: len(r.b)})
}

// sendFragments sends a and b in packets of at most mtu bytes (RFC 791, 3.2;
// RFC 8200, 4.5). When one of them is not taken the others are useless and not
// sent.
func (f *rawIP) sendFragments(a, b []byte, mtu int) error {
	total, ext := len(a)+len(b), 0
	if f.len == ip6HeaderLen {
		ext = ip6FragmentLen
	}
	id := f.d.ipID.Add(1)
	per := (mtu - f.len - ext) / fragmentUnit * fragmentUnit
	for from := 0; from < total; from += per {
		n := min(per, total-from)
		more := from+n < total
		r := f.start(ext+n, 0)
		if ext == 0 {
			field := uint16(from / fragmentUnit)
			if more {
				field |= ip4MoreFragments
			}
			binary.BigEndian.PutUint16(r.b[4:], uint16(id))
			binary.BigEndian.PutUint16(r.b[6:], field)
			sum4(r.b)
		} else {
			h := r.b[ip6HeaderLen:]
			r.b[6], h[0], h[1] = ip6Fragment, f.proto, 0
			field := uint16(from) // in units of 8, above 3 other bits
			if more {
				field |= ip6MoreFragments
			}
			binary.BigEndian.PutUint16(h[2:], field)
			binary.BigEndian.PutUint32(h[4:], id)
		}
		copyParts(r.b[f.len+ext:], a, b, from)
		if err := f.put(entry{raw: r, hdr: len(r.b)}); err != nil {
			return err
		}
	}
	return nil
}

// copyParts fills dst with what a and b have from byte from on.
func copyParts(dst, a, b []byte, from int) {
	if from < len(a) {
		n := copy(dst, a[from:])
		dst, from = dst[n:], len(a)
	}
	copy(dst, b[from-len(a):])
}
