// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"

	"github.com/tailscale/wireguard-go/tun"
	"gvisor.dev/gvisor/pkg/buffer"
)

// tableSize is the size of the joiner's hash table, a power of two with at
// least half its slots free.
const tableSize = 2 * batchSize

// run is TCP packets of one flow that enter the stack as one: each continues the
// one before it and says the same in all its other headers. Or it is UDP packets
// of one flow, which are handed over together.
type run struct {
	first, last int16 // of joiner.pkts
	nextSeq     uint32
	size        int // bytes of the joined TCP packet
	count       int
	bytes       int // of all its packets
}

// joiner finds the runs in one Write of up to batchSize packets.
//
// The kernel's receive offload (net/ipv4/tcp_offload.c) also asks that all
// segments but the last are of one size and that PSH ends a run, so that a
// router can split it again as it was. Runs end in this stack, so these rules
// do not apply, and a run may go across the superpackets of the sender.
//
// A joiner is used by one goroutine at a time and reused.
type joiner struct {
	seed  maphash.Seed
	udp   bool // make runs of UDP packets, too
	pkts  [batchSize]inbound
	runs  [batchSize]run
	table [tableSize]int16 // index of the flow's latest run plus 1; 0: free
	n     int              // runs

	// What handlers of UDP and echo requests borrow, one at a time.
	payloads  [maxDatagrams][]byte
	datagrams Datagrams
	echo      Echo
}

// join inspects bufs from offset on and finds the runs. drops counts what was
// dropped; empty packets are skipped. There are at most batchSize bufs. The
// joiner borrows their bytes until reset.
func (j *joiner) join(bufs [][]byte, offset int, drops *[numDropReasons]int) {
	for i, b := range bufs {
		if len(b) == offset {
			continue
		}
		if len(b) < offset {
			drops[dropShort]++
			continue
		}
		p := &j.pkts[i]
		if why := p.inspect(b[offset:]); why != keep {
			drops[why]++
			continue
		}
		j.add(int16(i))
	}
}

// add appends packet i to the run of its flow or makes it a run of its own.
func (j *joiner) add(i int16) {
	p := &j.pkts[i]
	at := p.tcp
	if j.udp && p.udp != 0 {
		at = p.udp
	}
	// With IP options or in fragments.
	if plain := at == ip4HeaderLen && p.b[0]>>4 == 4 || at == ip6HeaderLen && p.b[0]>>4 == 6; !plain {
		if at != 0 || j.udp && p.fragment { // its flow is not looked up, so end all runs
			clear(j.table[:])
		}
		j.start(i)
		return
	}
	flow := p.flow()
	slot := maphash.Bytes(j.seed, flow) % tableSize
	for ; j.table[slot] != 0; slot = (slot + 1) % tableSize {
		r := &j.runs[j.table[slot]-1]
		f := &j.pkts[r.first]
		if f.udp != p.udp || !bytes.Equal(f.flow(), flow) {
			continue
		}
		if p.udp != 0 {
			j.pkts[r.last].next, r.last = i, i
			r.count++
			r.bytes += len(p.b)
			return
		}
		if j.continues(r, p) {
			j.pkts[r.last].next, r.last = i, i
			r.nextSeq += uint32(len(p.b) - p.data)
			r.size += len(p.b) - p.data
			r.count++
			r.bytes += len(p.b)
			return
		}
		break
	}
	// The flow's later packets may only join this run, not an earlier one:
	// that keeps their order.
	j.start(i)
	j.table[slot] = int16(j.n)
}

func (j *joiner) start(i int16) {
	p := &j.pkts[i]
	r := run{first: i, last: i, size: len(p.b), count: 1, bytes: len(p.b)}
	if p.tcp != 0 {
		r.nextSeq = p.seq() + uint32(len(p.b)-p.data)
	}
	j.runs[j.n] = r
	j.n++
}

// continues reports whether p may become part of r, whose flow it has.
func (j *joiner) continues(r *run, p *inbound) bool {
	f := &j.pkts[r.first]
	if !f.joinable || !p.joinable || p.seq() != r.nextSeq || p.data != f.data ||
		r.size+len(p.b)-p.data > maxMTU {
		return false
	}
	t, u := f.b[f.tcp:f.data], p.b[p.tcp:p.data]
	if !bytes.Equal(t[tcpAckAt:tcpAckAt+4], u[tcpAckAt:tcpAckAt+4]) ||
		!bytes.Equal(t[tcpHeaderLen:], u[tcpHeaderLen:]) {
		return false
	}
	if f.tcp == ip4HeaderLen { // type of service, don't fragment, time to live
		return f.b[1] == p.b[1] && f.b[6] == p.b[6] && f.b[8] == p.b[8]
	}
	// Version, traffic class, flow label; hop limit.
	return bytes.Equal(f.b[:4], p.b[:4]) && f.b[7] == p.b[7]
}

// build returns r as one packet: the first one's headers with the last one's
// window, PSH if any has it, and lengths put right. The TCP checksum is not,
// because it has been verified already. The buffer is the caller's.
//
// The headers are in a view of their own: the stack holds one reference to them
// while it looks at them, and to look at bytes of a view that is held it copies
// the view's whole chunk (gVisor pkg/buffer, Buffer.PullUp, 2026-09), here one of
// up to 64 KiB for each packet.
func (j *joiner) build(r *run) buffer.Buffer {
	f := &j.pkts[r.first]
	if !f.joinable {
		return buffer.MakeWithData(f.b)
	}
	v := buffer.NewView(f.data)
	v.Write(f.b[:f.data])
	data := buffer.NewView(r.size - f.data)
	flags := byte(0)
	for i := r.first; i >= 0; i = j.pkts[i].next {
		p := &j.pkts[i]
		data.Write(p.b[p.data:])
		flags |= p.b[p.tcp+tcpFlagsAt]
	}
	if r.count > 1 {
		l := &j.pkts[r.last]
		b := v.AsSlice() // the chunk has no other owner yet
		b[f.tcp+tcpFlagsAt] = flags
		copy(b[f.tcp+tcpWindowAt:f.tcp+tcpChecksumAt], l.b[l.tcp+tcpWindowAt:])
		if f.tcp == ip4HeaderLen {
			binary.BigEndian.PutUint16(b[2:], uint16(r.size))
			b[10], b[11] = 0, 0
			binary.BigEndian.PutUint16(b[10:], ^tun.Checksum(b[:ip4HeaderLen], 0))
		} else {
			binary.BigEndian.PutUint16(b[4:], uint16(r.size-ip6HeaderLen))
		}
	}
	buf := buffer.MakeWithView(v)
	buf.Append(data)
	return buf
}

// reset forgets the packets, whose bytes go back to the caller of Write.
func (j *joiner) reset() {
	clear(j.pkts[:])
	clear(j.table[:])
	j.n = 0
	j.datagrams, j.echo = Datagrams{}, Echo{}
}
