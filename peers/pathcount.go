// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"sync"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/peers/path"
)

// A pathCount counts the WireGuard messages of one path. All remotes that are ends of
// it share it.
type pathCount struct {
	txPackets, txBytes atomic.Uint64
	rxPackets, rxBytes atomic.Uint64 // not verified yet
}

func (c *pathCount) sent(packets int, bytes uint64) {
	c.txPackets.Add(uint64(packets))
	c.txBytes.Add(bytes)
}

func (c *pathCount) received(packets, bytes uint64) {
	c.rxPackets.Add(packets)
	c.rxBytes.Add(bytes)
}

// received counts messages that came from r, for the path and for the peer that was
// heard there last.
func (r *remote) received(packets, bytes uint64) {
	r.count.received(packets, bytes)
	if e := r.last.Load(); e != nil {
		e.accounts.rx.add(r.class, int(packets), bytes)
	}
}

// pathCounts finds the counters of a path. It is asked when a remote is made, not for
// packets.
type pathCounts struct {
	mu    sync.Mutex
	table map[path.Path]*pathCount // at most maxKnown
}

func (t *pathCounts) of(at path.Path) *pathCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.table[at]
	if c == nil {
		if t.table == nil {
			t.table = make(map[path.Path]*pathCount)
		}
		if len(t.table) >= maxKnown {
			for k := range t.table { // map order is random enough here
				delete(t.table, k)
				break
			}
		}
		c = new(pathCount)
		t.table[at] = c
	}
	return c
}

// PathTraffic are the counters of a path: WireGuard messages, by UDP payload without
// a Geneve header. Received ones are not verified yet, and include those that came
// twice.
type PathTraffic struct {
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
}

// PathTraffic returns what went over a path.
func (b *Bind) PathTraffic(at path.Path) PathTraffic {
	p := &b.paths
	p.mu.Lock()
	r := p.known[at]
	p.mu.Unlock()
	if r == nil {
		return PathTraffic{}
	}
	c := r.count
	return PathTraffic{
		TxPackets: c.txPackets.Load(), TxBytes: c.txBytes.Load(),
		RxPackets: c.rxPackets.Load(), RxBytes: c.rxBytes.Load(),
	}
}
