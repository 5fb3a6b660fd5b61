// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// maxContent is the longest packet that wireguard-go encrypts: what is left of 65,535
// bytes by the headers of a transport message and the room before it
// (device.MaxContentSize). It drops longer ones without a word.
const maxContent = 1<<16 - 1 - 32 - 8

// A reach knows which addresses are those of peers. wireguard-go drops packets to
// others without a word, so they are dropped and counted here.
type reach struct {
	ask  func(netip.Addr) bool // nil: nobody knows
	turn atomic.Uint64         // odd while the peers change; answers are of one turn
}

// BeginChange says that what [Options.HasPeer] answers is about to change. Until
// [Device.EndChange] packets pass without being asked about: a range that moves must
// not be nobody's in between. Changes do not overlap.
func (d *Device) BeginChange() { d.reach.turn.Add(1) }

// EndChange says that the answers are final again.
func (d *Device) EndChange() { d.reach.turn.Add(1) }

// A destination is the address that a packet goes to.
type destination struct {
	hi, lo uint64
	six    bool
}

// destinationOf reads the destination of a packet; false if it has none, which
// wireguard-go drops without a word too.
func destinationOf(pkt []byte) (to destination, ok bool) {
	switch {
	case len(pkt) >= inner.IPv4HeaderLen && pkt[0]>>4 == 4:
		return destination{lo: uint64(binary.BigEndian.Uint32(pkt[16:]))}, true
	case len(pkt) >= inner.IPv6HeaderLen && pkt[0]>>4 == 6:
		return destination{binary.BigEndian.Uint64(pkt[24:]), binary.BigEndian.Uint64(pkt[32:]), true}, true
	}
	return destination{}, false
}

func (to destination) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], to.hi)
	binary.BigEndian.PutUint64(b[8:], to.lo)
	if to.six {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[12:]))
}

// slot returns a place for the destination in a table of 2^bits.
func (to destination) slot(bits int) uint64 {
	return (to.hi ^ to.lo) * 0x9e3779b97f4a7c15 >> (64 - bits) // 2^64 over the golden ratio
}

// rememberedBits: 256 destinations, 8 KiB a queue.
const rememberedBits = 8

// reached remembers for the reader of one queue which destinations have a peer.
type reached struct {
	turn  uint64 // of the answers
	table [1 << rememberedBits]answer
}

type answer struct {
	to         destination
	known, yes bool
}

// has reports whether there is a peer for the destination.
func (c *reached) has(r *reach, to destination) bool {
	a := &c.table[to.slot(rememberedBits)]
	if a.to == to && a.known {
		return a.yes
	}
	yes := r.ask(to.addr())
	if !yes && r.turn.Load() != c.turn {
		return true // it was asked while peers changed
	}
	*a = answer{to, true, yes}
	return yes
}

// addressed keeps those packets that have a peer to go to, in their order, counts the
// others, and returns how many there are.
func (q *hostQueue) addressed(slab []byte, packets []tun.ReadPacket) (n int) {
	r := &q.d.reach
	turn := r.turn.Load()
	if r.ask == nil || turn&1 != 0 {
		return len(packets)
	}
	c := &q.reached
	if c.turn != turn {
		*c = reached{turn: turn}
	}
	var last destination // of the packet before, which had a peer
	known := false
	for i := range packets {
		pkt := slab[packets[i].Offset : packets[i].Offset+packets[i].Size]
		to, ok := destinationOf(pkt)
		if !(ok && known && to == last) || len(pkt) > maxContent {
			if !q.leads(c, to, ok, pkt) {
				continue
			}
			last, known = to, ok
		}
		if n != i {
			packets[n] = packets[i]
		}
		n++
	}
	return n
}

// leads reports whether a packet has a peer to go to, and counts it if it has not.
func (q *hostQueue) leads(c *reached, to destination, ok bool, pkt []byte) bool {
	counters := &q.d.counters
	switch {
	case !ok:
		if problem := q.who.packet.Parse(pkt); problem != inner.OK {
			counters.malformed[problem].Add(1)
			return false
		}
	case len(pkt) > maxContent:
		counters.drop(dropTooBig)
		return false
	case !c.has(&q.d.reach, to):
		counters.drop(dropNoPeer)
		return false
	}
	return true
}
