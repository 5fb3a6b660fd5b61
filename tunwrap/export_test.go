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

// Plan returns the runs in which packets are written, each as the indices of its
// packets, when TCP and UDP are merged or not.
func Plan(bufs [][]byte, offset int, tcp, udp bool) [][]int {
	var p plan
	p.make(bufs, offset, [kinds]bool{tcp, udp})
	var out [][]int
	for _, r := range p.runs[:p.n] {
		run := []int{int(r.first)}
		for at := r.first; len(run) < int(r.count); {
			at = p.next[at]
			run = append(run, int(at))
		}
		out = append(out, run)
	}
	return out
}
