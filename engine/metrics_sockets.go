// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net/netip"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/relay"
)

func networkMetrics(to *metrics.Snapshot, s *peers.Stats) {
	to.Receive = &metrics.Receive{
		Packets: s.RxPackets, Messages: countsOf(s.RxMessages), Authentic: s.RxAuthentic, Errors: s.RxErrors,
		Dropped: countsOf(s.RxDropped), SocketDropped: countsOf(s.Totals.Dropped),
	}
	to.Transmit = &metrics.Transmit{
		Messages: countsOf(s.TxMessages),
		Dropped:  []metrics.Count{{Name: "no_address", N: s.TxNoAddress}, {Name: "closed", N: s.TxClosed}},
		Refused:  append(countsOf(s.TxRefused), metrics.Count{Name: "held", N: s.Totals.Lost}, metrics.Count{Name: "device", N: s.Totals.Busy}),
	}
	to.Paths = trafficMetrics(&s.Paths)
	for _, g := range s.Groups {
		to.Groups = append(to.Groups, metrics.SocketGroup(g))
	}
	for i := range s.Sockets {
		c := &s.Sockets[i]
		to.Sockets = append(to.Sockets, socketMetrics(metrics.UsePeers, c.Local, c.Index, c.GSO, c.GRO, &c.Stats))
	}
	for i := range s.Underlay {
		c := &s.Underlay[i]
		to.Sockets = append(to.Sockets, socketMetrics(metrics.UseXDP, c.Local, c.Index, c.GSO, c.GRO, &c.Stats))
	}
}

// trafficMetrics names the kinds of paths.
func trafficMetrics(t *peers.ClassTraffic) []metrics.PathTraffic {
	out := make([]metrics.PathTraffic, len(t))
	for i := range t {
		p := &t[i]
		out[i] = metrics.PathTraffic{
			Path: "direct", Family: "ipv4",
			Tx: metrics.Traffic{Packets: p.TxPackets, Bytes: p.TxBytes},
			Rx: metrics.Traffic{Packets: p.RxPackets, Bytes: p.RxBytes},
		}
		relayed, ipv6 := peers.Class(i)
		if relayed {
			out[i].Path = "relay"
		}
		if ipv6 {
			out[i].Family = "ipv6"
		}
	}
	return out
}

func relayMetrics(s *relay.Stats) *metrics.Relay {
	if s == nil {
		return nil
	}
	return &metrics.Relay{
		Traffic: metrics.Traffic{Packets: s.Frames, Bytes: s.Bytes},
		Clients: s.Clients, Registrations: s.Registrations, Sessions: s.Sessions, Bound: s.Bound,
		Ended: countsOf(s.Ended), Received: countsOf(s.Questions), Sent: countsOf(s.Answers), Dropped: countsOf(s.Dropped),
	}
}

func relaySocketMetrics(to *metrics.Snapshot, s *relay.Stats) {
	if s == nil {
		return
	}
	for i := range s.Sockets {
		c := &s.Sockets[i]
		to.Sockets = append(to.Sockets, socketMetrics(metrics.UseRelay, c.Local, c.Index, c.GSO, c.GRO, &c.Stats))
	}
}

func socketMetrics(use string, at netip.AddrPort, index int, gso, gro bool, s *batching.Stats) metrics.Socket {
	out := metrics.Socket{Use: use, Address: at.String(), Index: index, GSO: gso, GRO: gro}
	rx, tx := &s.Rx, &s.Tx
	out.Receive = metrics.SocketReceive{
		Traffic:  metrics.Traffic{Packets: rx.Packets, Bytes: rx.Bytes},
		Messages: rx.Messages, Calls: rx.Calls, Copied: rx.Copied, LongSegments: rx.LongSegments, Overflow: rx.Overflow,
		Dropped:           countsOf(rx.Dropped),
		PacketsPerCall:    batchHistogram(&rx.PacketsPerCall, rx.Packets),
		PacketsPerMessage: batchHistogram(&rx.PacketsPerMessage, rx.Packets),
	}
	out.Transmit = metrics.SocketTransmit{
		Traffic:  metrics.Traffic{Packets: tx.Packets, Bytes: tx.Bytes},
		Messages: tx.Messages, Calls: tx.Calls, Waits: tx.Waits, Sentinels: tx.Sentinels,
		Fallbacks: countsOf(tx.Fallbacks), Dropped: countsOf(tx.Dropped),
		PacketsPerCall:    batchHistogram(&tx.PacketsPerCall, tx.Packets),
		PacketsPerMessage: batchHistogram(&tx.PacketsPerMessage, tx.Packets),
	}
	if m := s.Memory; m != nil {
		memory := metrics.SocketMemory(*m)
		out.Memory = &memory
	}
	return out
}

// batchHistogram translates h, whose sizes add up to the packets that took effect.
func batchHistogram(h *batching.Histogram, packets uint64) metrics.Histogram {
	return histogramOf(h[:], h.Bound, packets)
}
