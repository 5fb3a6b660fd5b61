// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
)

// A lane is what waits for one peer.
type lane struct {
	party  filter.Party
	errors *rate.Limiter // of ICMP errors sent to the peer

	held    atomic.Int64 // bytes of memory of the parcels that wait
	packets atomic.Uint64
	bytes   atomic.Uint64
	full    atomic.Uint64 // packets dropped because the lane was full

	// Guarded by the mutex of the queue.
	first, last *parcel
	next        *lane // in turn; meaningless when the lane is empty
}

// ICMP errors per second and at once, to one peer: a traceroute with all its probes
// in flight.
const (
	icmpRate  = 100
	icmpBurst = 60
)

func newLane(party filter.Party) *lane {
	return &lane{party: party, errors: rate.NewLimiter(icmpRate, icmpBurst)}
}

// count notes packets on their way to the peer.
func (l *lane) count(packets, bytes int) {
	l.packets.Add(uint64(packets))
	l.bytes.Add(uint64(bytes))
}

// A parcel is a buffer with packets for one lane, each behind its length.
type parcel struct {
	next  *parcel
	buf   []byte // as much as is used
	count int    // packets in buf
	class int
}

// lengthLen is the size of the length before each packet of a parcel.
const lengthLen = 2

// Sizes of parcels: a small packet or two, a small batch, the rest. The last holds
// the longest packet.
var classes = [...]int{2 << 10, 16 << 10, 64<<10 + lengthLen}

const maxParcel = 64<<10 + lengthLen

// add copies a packet into the parcel, which has room.
func (p *parcel) add(pkt []byte) {
	p.buf = binary.NativeEndian.AppendUint16(p.buf, uint16(len(pkt)))
	p.buf = append(p.buf, pkt...)
	p.count++
}

// head returns the first packet.
func (p *parcel) head() []byte {
	n := int(binary.NativeEndian.Uint16(p.buf))
	return p.buf[lengthLen : lengthLen+n]
}

// pop takes the first packet away.
func (p *parcel) pop() {
	p.buf = p.buf[lengthLen+len(p.head()):]
	p.count--
}

// parcels is where parcels come from: a pool per class.
type parcels struct {
	pools [len(classes)]sync.Pool
	held  atomic.Int64 // bytes of all that wait
}

// classOf returns the smallest class that holds n bytes.
func classOf(n int) int {
	for c, size := range classes {
		if n <= size {
			return c
		}
	}
	return len(classes) - 1
}

func (p *parcels) get(class int) *parcel {
	if x, _ := p.pools[class].Get().(*parcel); x != nil {
		return x
	}
	return &parcel{buf: make([]byte, 0, classes[class]), class: class}
}

// put takes back a parcel that is in no lane; buf is its whole buffer, emptied.
func (p *parcels) put(x *parcel, buf []byte) {
	*x = parcel{buf: buf[:0], class: x.class}
	p.pools[x.class].Put(x)
}
