// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"bytes"
	"encoding/binary"
)

// slotCount is the size of the table of flows, twice what a batch can have. It is
// the number of values of flow.slot.
const slotCount = 256

// The table has room, and indices of packets and runs fit a byte with 0 for none.
const _ = uint(slotCount - 2*maxWrite)

// A run is packets of one flow that are written together as a superpacket, or a
// packet that is written alone.
type run struct {
	flow          flow
	first, last   uint8 // packets of the batch; those between are by plan.next
	count         uint8
	kind          kind
	open          bool // another packet may join
	verified      bool // the checksums of the first are right
	start, header int  // of the first: where its transport header begins, length of all headers
	payload       int  // bytes of the first's data: of every one but the last
	size          int  // bytes of the packets together, headers once
	seq           uint32
}

// A plan says in which runs the packets of a batch are written, in the order of
// their first packets.
//
// Packets of one flow stay in order: one that cannot join its flow's run begins a
// new one, which then is the flow's. A packet that is no flow here, say a fragment
// or an ICMP error, ends all runs, so it keeps its place among all packets. Flows
// pass each other only inside a batch.
//
// The zero value is ready. It keeps nothing of the packets.
type plan struct {
	runs  [maxWrite]run
	n     int             // of runs
	next  [maxWrite]uint8 // of a packet, the one behind it in its run
	slots [slotCount]uint8
	empty int // packets without a byte; in no run
}

// make plans the packets bufs[i][offset:], at most maxWrite, of which those of a kind
// that is not to be merged go alone.
func (p *plan) make(bufs [][]byte, offset int, merge [kinds]bool) {
	p.n, p.empty = 0, 0
	p.slots = [slotCount]uint8{}
	barrier := 0 // the runs before are ended
	current := 0 // number of the run that had the last packet, 0 = none
	var f flow
	for i, b := range bufs {
		if len(b) <= offset {
			p.empty++
			continue
		}
		pkt := b[offset:]
		k, start, ok := f.read(pkt)
		if !ok {
			p.alone(i, len(pkt))
			barrier, current = p.n, 0
			continue
		}
		if !merge[k] {
			p.alone(i, len(pkt))
			current = 0
			continue
		}
		var slot *uint8
		if current == 0 || !p.runs[current-1].flow.same(&f) {
			slot = p.find(&f)
			current = int(*slot)
		}
		header, ok := headers(pkt, k, start)
		if current > barrier && ok && p.join(&p.runs[current-1], bufs, offset, i, header) {
			continue
		}
		if slot == nil {
			slot = p.find(&f)
		}
		r := p.alone(i, len(pkt))
		r.flow, r.kind, r.start, r.header = f, k, start, header
		r.payload = len(pkt) - header
		r.open = ok
		if ok && k == kindTCP {
			r.note(pkt)
		}
		current = p.n
		*slot = uint8(current)
	}
}

// alone adds a run of one packet that none may join.
func (p *plan) alone(packet, size int) *run {
	r := &p.runs[p.n]
	p.n++
	*r = run{first: uint8(packet), last: uint8(packet), count: 1, size: size}
	return r
}

// find returns the slot of f: it holds the number of its latest run, 0 if it has none.
func (p *plan) find(f *flow) *uint8 {
	for at := f.slot(); ; at++ {
		s := &p.slots[at]
		if *s == 0 || p.runs[*s-1].flow.same(f) {
			return s
		}
	}
}

// join adds packet i with headers of this length, which is of r's flow and may be
// part of a superpacket, to r if it may come next there. The rules are those by
// which the kernel merges (inet_gro_receive, tcp_gro_receive, udp_gro_receive), so
// that it can be cut again into what it was made of. The identification of IPv4
// packets that may not be fragmented is not among them: it means nothing (RFC 6864
// section 4.1), and Linux sends 0 in UDP packets of sockets that are not connected.
func (p *plan) join(r *run, bufs [][]byte, offset, i, header int) bool {
	pkt, head := bufs[i][offset:], bufs[r.first][offset:]
	payload := len(pkt) - header
	if !r.open || header != r.header || payload > r.payload || r.size+payload > maxSuperpacket {
		return false
	}
	if r.start == ipv4HeaderLen {
		// Type of service, don't fragment, time to live.
		if head[1] != pkt[1] || head[6] != pkt[6] || head[8] != pkt[8] {
			return false
		}
		if pkt[6] == 0 && id(pkt) != id(bufs[r.last][offset:])+1 {
			return false
		}
	} else if head[7] != pkt[7] || !bytes.Equal(head[:4], pkt[:4]) {
		return false // hop limit; class and flow label
	}
	if r.kind == kindTCP && !r.continues(head[r.start:r.header], pkt[r.start:header]) {
		return false
	}
	if !r.verified {
		if r.verified = valid(head, r.kind, r.start); !r.verified {
			r.open = false
			return false
		}
	}
	if !valid(pkt, r.kind, r.start) {
		return false
	}
	p.next[r.last] = uint8(i)
	r.last = uint8(i)
	r.count++
	r.size += payload
	r.open = payload == r.payload
	if r.kind == kindTCP {
		r.note(pkt)
	}
	return true
}

// id returns the identification of an IPv4 packet.
func id(pkt []byte) uint16 { return binary.BigEndian.Uint16(pkt[4:]) }

// continues reports whether the TCP header u may come next in r, whose first one
// is t.
func (r *run) continues(t, u []byte) bool {
	return binary.BigEndian.Uint32(u[tcpSeqAt:]) == r.seq &&
		bytes.Equal(t[tcpAckAt:tcpLenAt], u[tcpAckAt:tcpLenAt]) &&
		bytes.Equal(t[tcpWindowAt:tcpWindowAt+2], u[tcpWindowAt:tcpWindowAt+2]) &&
		bytes.Equal(t[tcpUrgentAt:], u[tcpUrgentAt:]) // and options
}

// note takes from the TCP packet pkt, the last of r, what decides about the next.
func (r *run) note(pkt []byte) {
	t := pkt[r.start:]
	r.seq = binary.BigEndian.Uint32(t[tcpSeqAt:]) + uint32(len(pkt)-r.header)
	if t[tcpFlagsAt]&tcpPSH != 0 {
		r.open = false
	}
}
