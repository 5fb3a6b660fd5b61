// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import "github.com/tailscale/wireguard-go/tun"

// Names of the internals that tests look at.
const (
	MaxPacket       = maxPacket
	VirtioHeaderLen = virtioHeaderLen
	MaxWrite        = maxWrite
)

var (
	ErrNothing = errNothing
	Merge      = merge
)

// A Drain is a drain with a read function of the test.
type Drain struct{ d drain }

func NewDrain(read func(b []byte) (int, error)) *Drain {
	return &Drain{drain{read: read, carry: make([]byte, carryLen)}}
}

func (d *Drain) Fill(slab []byte, packets []tun.ReadPacket) (int, error) {
	return d.d.fill(slab, packets)
}

// Tally returns the counters of the last Fill.
func (d *Drain) Tally() (syscalls, superpackets, carried uint64, drops ReadDrops) {
	t := d.d.tally
	return t.syscalls, t.superpackets, t.carried, ReadDrops{t.malformed, t.truncated, t.oversized, t.refused}
}

// Waiting returns how many packets the carry buffer still makes.
func (d *Drain) Waiting() int {
	if d.d.rest.none() {
		return 0
	}
	return d.d.rest.segments()
}

// Lost calls lost.
func Lost(bufs [][]byte, offset, header, written, failed int) (packets, bytes int) {
	l := lost(bufs, offset, header, written, failed)
	return l.packets, l.bytes
}

// Mergeable is mergeable.
func Mergeable(bufs [][]byte, offset int) int { return mergeable(bufs, offset) }

// Superpacket returns what is written to the kernel for packets that are mergeable.
// It changes the headers of the first.
func Superpacket(bufs [][]byte, offset int) []byte {
	seg, ok := parseSegment(bufs[0][offset:])
	if !ok {
		panic("not a segment")
	}
	size := len(seg.pkt)
	for _, b := range bufs[1:] {
		size += len(b) - offset - seg.header
	}
	h := seg.superpacket(size, bufs[len(bufs)-1][offset:])
	frame := make([]byte, virtioHeaderLen, virtioHeaderLen+size)
	h.encode(frame)
	frame = append(frame, seg.pkt...)
	for _, b := range bufs[1:] {
		frame = append(frame, b[offset+seg.header:]...)
	}
	return frame
}
