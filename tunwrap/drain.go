// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"

	"github.com/tailscale/wireguard-go/tun"
)

// spacing is the room that every packet has before and behind it in a slab.
const spacing = tun.ReadPacketSpacing

// The virtio header of a packet is read into the spacing before it.
const _ = uint(spacing - virtioHeaderLen)

const (
	// maxPacket is the longest IP packet that a TUN device can deliver: the
	// kernel segments at 64 KiB (GSO_LEGACY_MAX_SIZE), an IPv4 packet cannot be
	// longer than its 16-bit length says, an IPv6 one than 40 bytes more.
	maxPacket = ipv6HeaderLen + 0xffff

	// carryLen is one byte longer than any packet with its header. read(2) on a
	// TUN cuts a packet that is longer than the buffer and says nothing; one
	// that fills the buffer to the last byte is therefore too long.
	carryLen = virtioHeaderLen + maxPacket + 1
)

// errNothing is what the read function of a drain returns when no packet is
// waiting.
var errNothing = errors.New("tunwrap: no packet is waiting")

// A drain moves packets from a kernel queue into slabs. It is owned by the
// goroutine that reads the queue.
//
// Vocabulary: a packet is read from the kernel with one read(2); it is small, or
// a superpacket to be cut into segments. A batch is what one call of fill puts
// into the caller's slab. The carry buffer belongs to the drain and holds at
// most one packet, or the rest of one, that did not fit the batch.
//
// # Where a packet is read to
//
// No read may cut a packet, so each needs room for carryLen = 65,586 bytes. The
// device's slab has 131,070, less 64 of spacing at each end:
//
//   - While there is that much room the packet is read in place, where it will
//     stay: the first in any case, and small packets up to offset 65,430, which
//     is 248 of 200 bytes (so all 128 that can be described) or 45 of 1,420.
//   - Then it is read into the carry buffer and copied to its place. For a
//     superpacket that costs nothing, because cutting it copies it anyway. Each
//     small packet is copied once more, some 40 ns for 1,420 bytes, which fills
//     the slab with 88 packets instead of 45; a read(2) takes ten times as long.
//
// The alternative, readv(2) into the rest of the slab and the carry buffer,
// saves that copy but needs two when a superpacket is torn.
//
// A superpacket whose segments do not all fit is in the carry buffer, or is
// moved there, and is delivered in parts: what fits now, the rest first thing in
// the next batch.
//
// A batch holds no more segments of superpackets than the network side can send
// as one message of 64 KiB: WireGuard makes each longer, so that a superpacket of
// 47 segments would leave as a message of 45 and one of 2, and those 2 would pass
// through everything up to the receiver's TCP alone. The rest, a few segments, is
// copied to the carry buffer before the others are cut. That makes bulk TCP 7 %
// cheaper at both ends (4.45 against 4.78 s/GB for both, medians of 5 runs of iperf3
// with superpackets that fit and that do not; 2 CPUs of an amd64 server, 2026).
//
// A batch that holds a superpacket ends where the next packet would go to the
// carry buffer. In bulk TCP all are superpackets, and reading another for the
// part of it that still fits cost the sender 5 % more CPU time per byte (medians
// of 6 runs of iperf3, 2.29 against 2.17 s/GB; 2 CPUs of an amd64 server): slab,
// carry buffer and the batch in encryption no longer share the cache.
type drain struct {
	// read reads one packet with its virtio header, without waiting.
	read  func(b []byte) (int, error)
	carry []byte
	rest  superpacket // in carry; none most of the time
	tally tally       // of the batch in progress
}

// A tally counts the events of one call of fill.
type tally struct {
	syscalls     uint64
	superpackets uint64
	carried      uint64 // packets, or rests of packets, left for the next batch
	malformed    uint64
	truncated    uint64
	oversized    uint64
	refused      uint64
}

// A batch is the slab and the descriptors of one call, and how far they are used.
type batch struct {
	slab    []byte
	packets []tun.ReadPacket
	n       int // descriptors used
	next    int // offset of the next packet

	segments int // of superpackets, among n
}

// room returns how many bytes the next packet may have.
func (b *batch) room() int { return len(b.slab) - spacing - b.next }

func (b *batch) full() bool { return b.n == len(b.packets) || b.room() <= 0 }

// put puts as many packets of s as fit behind those that are there.
func (b *batch) put(s *superpacket) error {
	if b.full() {
		return nil
	}
	packets, whole := b.packets[b.n:], s.finished()
	if !whole {
		packets = packets[:min(len(packets), b.budget(s))]
		if len(packets) == 0 {
			return nil
		}
	}
	origin := b.next - spacing
	n, err := s.split(b.slab[origin:], packets)
	if !whole {
		b.segments += n
	}
	for i := range b.packets[b.n : b.n+n] {
		b.packets[b.n+i].Offset += origin
	}
	b.n += n
	b.advance()
	return err
}

// budget returns how many segments of s the batch takes; one at least while it has
// none.
func (b *batch) budget(s *superpacket) int {
	return max(0, max(1, s.perMessage())-b.segments)
}

// keep describes a packet of n bytes that is in place.
func (b *batch) keep(n int) {
	b.packets[b.n] = tun.ReadPacket{Offset: b.next, Size: n}
	b.n++
	b.advance()
}

func (b *batch) advance() {
	if b.n > 0 {
		last := b.packets[b.n-1]
		b.next = last.Offset + last.Size + spacing
	}
}

// fill reads packets until none is waiting or slab or packets are full, and
// returns how many it described, in ascending order of their offsets. With none
// at all the error is that of the read, errNothing in the normal case. An error
// that comes after a packet is left for the next call to run into.
func (d *drain) fill(slab []byte, packets []tun.ReadPacket) (int, error) {
	d.tally = tally{}
	if len(packets) == 0 || len(slab) < 2*spacing {
		return 0, tun.ErrTooManySegments
	}
	b := batch{slab: slab, packets: packets, next: spacing}
	for {
		if !d.rest.none() {
			if err := b.put(&d.rest); err != nil {
				d.tally.malformed++
				d.rest = superpacket{}
			}
			if !d.rest.none() {
				if b.n == 0 {
					// Not even an empty slab has room: it never will.
					d.tally.oversized++
					d.rest = superpacket{}
					return 0, tun.ErrTooManySegments
				}
				d.tally.carried++
				return b.n, nil
			}
		}
		if b.n > 0 && b.full() {
			return b.n, nil
		}
		buf, inPlace := d.carry, b.room() >= carryLen-virtioHeaderLen
		if !inPlace && d.tally.superpackets > 0 {
			return b.n, nil
		}
		if inPlace {
			buf = slab[b.next-virtioHeaderLen:][:carryLen]
		}
		d.tally.syscalls++
		n, err := d.read(buf)
		if err != nil {
			if b.n > 0 {
				err = nil
			}
			return b.n, err
		}
		d.accept(&b, buf, n, inPlace)
	}
}

// accept adds the packet in the first n bytes of buf to the batch, or leaves
// what does not fit in the carry buffer.
func (d *drain) accept(b *batch, buf []byte, n int, inPlace bool) {
	switch {
	case n <= virtioHeaderLen:
		d.tally.malformed++
		return
	case n == carryLen:
		d.tally.truncated++
		return
	}
	var h virtioHeader
	h.decode(buf)
	var s superpacket
	if err := s.parse(&h, buf[virtioHeaderLen:n]); err != nil {
		d.tally.malformed++
		return
	}
	if !s.finished() {
		d.tally.superpackets++
	}
	if inPlace {
		switch {
		case s.finished():
			b.keep(len(s.data)) // room for any packet was asked for before the read
			return
		case s.segments() <= len(b.packets)-b.n && s.room() <= b.room()+2*spacing && b.budget(&s) > 0:
			var rest superpacket
			if most := b.budget(&s); s.segments() > most {
				rest = s.cut(most, d.carry)
			}
			if b.put(&s) != nil {
				d.tally.malformed++
				return
			}
			d.rest = rest
			return
		}
		s.data = d.carry[:copy(d.carry, s.data)]
	}
	d.rest = s // the caller puts it
}
