// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/tun"
)

// room is the free part of a slab, as Read fills it from the front:
//
//	| spacing | packet | spacing | packet | spacing ... | spacing |
//	                                     ^ end
type room struct {
	live  *atomic.Uint32 // the device's MTU
	mtu   int            // what it was when packets were there: split to at most this
	slots int            // packets that may still be described
	bytes int            // behind end
}

// begin is called once there is something to claim for.
func (r *room) begin() { r.mtu = int(r.live.Load()) }

// claim takes what e needs, or returns false and takes nothing.
func (r *room) claim(e *entry) bool {
	segs := e.segments(r.mtu)
	// segs packets with their headers, and spacing before each.
	need := segs*(e.hdr+spacing) + e.size - e.hdr
	if segs > r.slots || need+spacing > r.bytes {
		return false
	}
	r.slots -= segs
	r.bytes -= need
	return true
}

// payload returns how much payload the packets that e is split into have, the
// last one excepted. A live MTU below that of the connection wins over TCP. It
// cannot over UDP, where what is in a packet is one datagram.
func (e *entry) payload(mtu int) int {
	if e.raw != nil {
		return e.mss
	}
	return max(min(e.mss, mtu-e.hdr), 1)
}

// segments returns how many packets e becomes.
func (e *entry) segments(mtu int) int {
	n := e.size - e.hdr
	if e.mss == 0 || n == 0 {
		return 1
	}
	per := e.payload(mtu)
	return (n + per - 1) / per
}

// gso returns how to split a superpacket that begins with b.
func (e *entry) gso(b []byte, payload int) tun.GSOOptions {
	o := tun.GSOOptions{
		GSOType:    tun.GSOTCPv4,
		HdrLen:     uint16(e.hdr),
		CsumStart:  uint16(b[0]&15) * 4,
		CsumOffset: tcpChecksumAt,
		GSOSize:    uint16(payload),
		NeedsCsum:  true,
	}
	if b[0]>>4 == 6 {
		o.GSOType, o.CsumStart = tun.GSOTCPv6, ip6HeaderLen
	}
	if e.raw != nil {
		o.GSOType, o.CsumOffset = tun.GSOUDPL4, udpChecksumAt
	}
	if payload == 0 {
		o.GSOType = tun.GSONone
	}
	return o
}

// place writes the packets of e into slab, the first at slab[spacing], and
// describes them in pkts. There must be room for them.
func (e *entry) place(slab []byte, pkts []tun.ReadPacket, mtu int) (int, error) {
	b := slab[spacing : spacing+e.size]
	copyPacket(b, e, 0, e.size)
	switch segs := e.segments(mtu); {
	case segs > 1:
		return e.split(b, e.gso(b, e.payload(mtu)), slab, pkts)
	case e.csum:
		return e.split(b, e.gso(b, 0), slab, pkts)
	default:
		pkts[0] = tun.ReadPacket{Offset: spacing, Size: e.size}
		return 1, nil
	}
}

// placePart writes as many packets of e as slab and pkts hold, beginning with
// the payload byte from, and returns where to go on. It is for a superpacket
// that no empty slab holds: tiny segments, or a tiny slab.
func (e *entry) placePart(slab []byte, pkts []tun.ReadPacket, mtu, from int) (n, next int, err error) {
	if e.mss == 0 || e.size == e.hdr { // one packet, longer than the slab
		return 0, e.size, tun.ErrTooManySegments
	}
	per := e.payload(mtu)
	segs := min(len(pkts), (len(slab)-spacing)/(e.hdr+per+spacing))
	if segs < 1 {
		return 0, e.size, tun.ErrTooManySegments
	}
	total := e.size - e.hdr
	next = min(from+segs*per, total)
	b := slab[spacing : spacing+e.hdr+next-from]
	copyPacket(b, e, 0, e.hdr)
	copyPacket(b[e.hdr:], e, e.hdr+from, e.hdr+next)

	// The part has headers of its own: where it starts, and that it is not the
	// end. GSOSplit fills in lengths and checksums.
	o := e.gso(b, min(per, next-from))
	if o.GSOType != tun.GSOUDPL4 {
		tcp := b[o.CsumStart:]
		binary.BigEndian.PutUint32(tcp[tcpSeqAt:], binary.BigEndian.Uint32(tcp[tcpSeqAt:])+uint32(from))
		if next < total {
			tcp[tcpFlagsAt] &^= tcpFlagFIN | tcpFlagPSH
		}
	}
	if b[0]>>4 == 4 { // the identification counts packets
		binary.BigEndian.PutUint16(b[4:], binary.BigEndian.Uint16(b[4:])+uint16(from/per))
	}
	n, err = e.split(b, o, slab, pkts)
	return n, next, err
}

// split is tun.GSOSplit, and completes UDP checksums: that leaves zero, which
// says that there is none, where it is the right sum.
func (e *entry) split(b []byte, o tun.GSOOptions, slab []byte, pkts []tun.ReadPacket) (int, error) {
	n, err := tun.GSOSplit(b, o, slab, pkts, spacing)
	if o.GSOType == tun.GSOUDPL4 {
		for _, p := range pkts[:n] {
			u := slab[p.Offset+int(o.CsumStart):]
			if u[udpChecksumAt] == 0 && u[udpChecksumAt+1] == 0 {
				u[udpChecksumAt], u[udpChecksumAt+1] = 0xff, 0xff
			}
		}
	}
	return n, err
}

// copyPacket copies the bytes from, to of the packet to dst.
func copyPacket(dst []byte, e *entry, from, to int) {
	if e.raw != nil {
		copy(dst, e.raw.b[from:to])
		return
	}
	views, skip := e.pkt.AsViewList()
	skip += from
	n := to - from
	for v := views.Front(); v != nil && n > 0; v = v.Next() {
		b := v.AsSlice()
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		c := copy(dst[:n], b[skip:])
		dst, n, skip = dst[c:], n-c, 0
	}
}
