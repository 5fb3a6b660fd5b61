// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A Key is the public key of a peer.
type Key = [32]byte

// A Side is where a packet was seen.
type Side uint8

// The sides.
const (
	Inner Side = iota // inside the tunnel: IP packets, not encrypted
	Outer             // outside: what UDP carries to and from peers and relays
	sides
)

// String returns inner or outer.
func (s Side) String() string {
	if s == Outer {
		return "outer"
	}
	return "inner"
}

// Options are the settings of a [Tap]. The zero value captures whole packets inside the
// tunnel.
type Options struct {
	// Sides are what is captured. Default: Inner.
	Sides []Side
	// Filter says which packets. Default: all.
	Filter *Filter
	// SnapLen is how many bytes of each packet are kept, headers included; 0 means all.
	SnapLen int
	// Count ends the capture after so many packets; 0 means never.
	Count uint64
	// BufferBytes is the memory for packets that wait to be written, 128 KiB at least
	// and rounded up to a power of two. Default: 8 MiB, 13 ms at 5 Gbit/s.
	BufferBytes int

	// Interface is the name of the tunnel's interface, Application what captures, with
	// its version.
	Interface, Application string
	// Name returns what a peer is called in the comments of its packets. Default: none
	// has any.
	Name func(Key) string
	// Source returns the address that a datagram to remote leaves from, when the kernel
	// chooses it; the zero Addr when that is not known either. Default: it never is.
	Source func(remote netip.Addr) netip.Addr
}

const (
	defaultBufferBytes = 8 << 20
	// minBufferBytes holds the longest packet.
	minBufferBytes = 128 << 10
)

// A Packet is one packet as the packet path has it. Nothing of it is kept.
type Packet struct {
	At   time.Time
	Side Side
	Sent bool // to a peer or relay; otherwise received from one
	Peer Key
	// Known says that Peer is one.
	Known bool
	// Local and Remote are the ends of a datagram. The address of Local is invalid while
	// the kernel chooses it.
	Local, Remote netip.AddrPort
	// Head and Data are the packet, in two parts.
	Head, Data []byte
}

// A Tap is one capture. [Tap.Packet] may be called by any number of goroutines.
type Tap struct {
	// Immutable.
	o       Options
	wants   [sides]bool
	started time.Time
	ring    *ring
	ended   atomic.Bool // Run takes no more

	counts [sides]counters
}

// counters count the packets of one side: seen, wanted by the filter, dropped because
// the ring was full, and written. The last belongs to Run.
type counters struct{ seen, accepted, dropped, written atomic.Uint64 }

// New returns a Tap. It takes packets from now on.
func New(o *Options) *Tap {
	t := &Tap{started: time.Now()}
	if o != nil {
		t.o = *o
	}
	if len(t.o.Sides) == 0 {
		t.o.Sides = []Side{Inner}
	}
	for _, s := range t.o.Sides {
		t.wants[s] = true
	}
	if t.o.BufferBytes == 0 {
		t.o.BufferBytes = defaultBufferBytes
	}
	if t.o.SnapLen <= 0 || t.o.SnapLen > maxPacket {
		t.o.SnapLen = maxPacket
	}
	if t.o.Name == nil {
		t.o.Name = func(Key) string { return "" }
	}
	if t.o.Source == nil {
		t.o.Source = func(netip.Addr) netip.Addr { return netip.Addr{} }
	}
	t.ring = newRing(max(t.o.BufferBytes, minBufferBytes))
	return t
}

// maxPacket is the longest packet that is kept whole: all of IPv6 without jumbograms.
const maxPacket = 1<<16 - 1 + inner.IPv6HeaderLen

// Wants reports whether the side is captured.
func (t *Tap) Wants(s Side) bool { return t.wants[s] }

// Packet takes a copy of p if the filter wants it and there is room. It belongs to the
// packet path: it does not wait, lock or allocate.
func (t *Tap) Packet(p *Packet) {
	if !t.wants[p.Side] || t.ended.Load() {
		return
	}
	c := &t.counts[p.Side]
	c.seen.Add(1)
	if !t.o.Filter.match(p) {
		return
	}
	c.accepted.Add(1)
	m := meta{
		at: p.At.UnixNano(), length: uint32(len(p.Head) + len(p.Data)), side: p.Side, sent: p.Sent,
		peer: p.Peer, known: p.Known,
	}
	keep := t.o.SnapLen
	if p.Side == Outer {
		m.setEnds(p.Local, p.Remote)
		keep = max(0, keep-m.headersLen())
	}
	head, data := p.Head, p.Data
	if len(head)+len(data) > keep {
		// The checksum is of all of it. A head is even in length.
		m.sum = inner.Sum(data, uint32(inner.Sum(head, 0)))
		head = head[:min(len(head), keep)]
		data = data[:min(len(data), keep-len(head))]
	}
	if !t.ring.put(&m, head, data) {
		c.dropped.Add(1)
	}
}

// Counts are what became of the packets of a capture.
type Counts struct {
	Captured uint64 // written
	Dropped  uint64 // wanted, and dropped because the reader was too slow
}

// Counts returns how far the capture is.
func (t *Tap) Counts() (n Counts) {
	for i := range t.counts {
		n.Captured += t.counts[i].written.Load()
		n.Dropped += t.counts[i].dropped.Load()
	}
	return n
}
