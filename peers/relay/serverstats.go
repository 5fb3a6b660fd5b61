// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/batching"
)

// Stats are the counters of a [Server].
type Stats struct {
	TableStats
	// Frames and Bytes were forwarded: UDP payloads, with the Geneve header.
	Frames uint64 `json:"frames"`
	Bytes  uint64 `json:"bytes"`
	// Sockets holds one entry for each socket.
	Sockets []SocketStats `json:"sockets"`
}

// SocketStats are the counters of one socket.
type SocketStats struct {
	// Local is the address that the socket is bound to, Index tells those of one
	// address apart.
	Local netip.AddrPort `json:"local"`
	Index int            `json:"index"`
	// GSO and GRO tell whether segmented messages are sent and received.
	GSO bool `json:"gso"`
	GRO bool `json:"gro"`
	batching.Stats
}

// Stats returns a snapshot of the counters. It costs no lock on the packet path.
func (s *Server) Stats() Stats {
	st := Stats{TableStats: s.table.Stats(time.Now())}
	for _, w := range s.workers {
		st.Frames += w.out.frames.Load()
		st.Bytes += w.out.bytes.Load()
	}
	for _, g := range s.groups {
		for i, c := range g.Conns() {
			gso, gro, _ := c.Capabilities()
			st.Sockets = append(st.Sockets, SocketStats{
				Local: g.LocalAddr(), Index: i, GSO: gso, GRO: gro, Stats: c.Stats(),
			})
		}
	}
	return st
}
