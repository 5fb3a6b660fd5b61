// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"encoding/binary"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// maxPacket is the longest IP packet.
const maxPacket = 1<<16 - 1

// route does what a router does with a packet between two links, and puts it on its
// way to the lane to: RFC 1812 section 5.2.1 and RFC 8200.
func (d *Device) route(w *work, v *view, pkt []byte, from, to *lane) {
	p := &w.packet
	if p.HopLimit <= 1 {
		d.counters.drop(dropHopLimit)
		d.answer(w, v, pkt, from, timeExceeded, 0)
		return
	}
	if mtu := int(d.mtu.Load()); len(pkt) > mtu {
		if mtu = d.askMTU(mtu); len(pkt) > mtu {
			d.tooBig(w, v, pkt, from, to, mtu)
			return
		}
	}
	decrement(pkt)
	w.out = append(w.out, routed{to, pkt})
}

// askMTU returns the present MTU, known once as old.
func (d *Device) askMTU(old int) int {
	if mtu, err := d.MTU(); err == nil && mtu > 0 {
		return mtu
	}
	return old
}

func (d *Device) tooBig(w *work, v *view, pkt []byte, from, to *lane, mtu int) {
	if w.packet.DontFragment {
		d.counters.drop(dropTooBig)
		d.answer(w, v, pkt, from, tooBig, mtu)
		return
	}
	fragments := fragment(pkt, mtu)
	if fragments == nil {
		d.counters.drop(dropTooBig)
		return
	}
	d.counters.fragmented.Add(1)
	d.counters.fragments.Add(uint64(len(fragments)))
	for _, f := range fragments {
		decrement(f)
		w.out = append(w.out, routed{to, f})
	}
}

// decrement takes one from the hop limit of a packet, which is not zero, and
// corrects IPv4's checksum for it (RFC 1624).
func decrement(pkt []byte) {
	if pkt[0]>>4 == 6 {
		pkt[7]--
		return
	}
	old := binary.BigEndian.Uint16(pkt[8:])
	pkt[8]--
	// HC' = ~(~HC + ~m + m'), equation 3.
	sum := uint32(^binary.BigEndian.Uint16(pkt[10:])) + uint32(^old) + uint32(binary.BigEndian.Uint16(pkt[8:]))
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(pkt[10:], ^uint16(sum))
}

// fragment cuts an IPv4 packet into copies of at most mtu bytes (RFC 791 section
// 3.2). It returns nil when the MTU leaves no room for data.
func fragment(pkt []byte, mtu int) [][]byte {
	const copied, end, nop = 0x80, 0, 1
	header := int(pkt[0]&15) * 4
	room := (mtu - header) &^ 7
	if room <= 0 {
		return nil
	}
	flags := binary.BigEndian.Uint16(pkt[6:])
	data := pkt[header:]
	out := make([][]byte, 0, len(data)/room+1)
	for at := 0; at < len(data); at += room {
		part := data[at:min(at+room, len(data))]
		f := make([]byte, header+len(part))
		copy(f, pkt[:header])
		copy(f[header:], part)
		field := flags + uint16(at/8)
		if at+room < len(data) {
			field |= 0x2000
		}
		binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
		binary.BigEndian.PutUint16(f[6:], field)
		if at > 0 {
			// Options that are not to be copied become no operations.
			for o := inner.IPv4HeaderLen; o < header && f[o] != end; {
				size := 1
				if f[o] != nop && o+1 < header {
					size = max(2, int(f[o+1]))
				}
				if f[o]&copied == 0 {
					for i := o; i < min(o+size, header); i++ {
						f[i] = nop
					}
				}
				o += size
			}
		}
		f[10], f[11] = 0, 0
		binary.BigEndian.PutUint16(f[10:], ^inner.Sum(f[:header], 0))
		out = append(out, f)
	}
	return out
}
