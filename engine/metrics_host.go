// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// tunMetrics leaves out of a netstack what that did not take, which it tells by reason.
func tunMetrics(s *tunwrap.Stats, netstack bool) *metrics.TUN {
	out := &metrics.TUN{
		QueuesAsked: s.QueuesRequested, Steering: string(s.Steering),
		MergingTCP: !s.TCPMerging.Off, MergingUDP: !s.UDPMerging.Off,
		Queues: make([]metrics.TUNQueue, len(s.Queues)),
	}
	for i := range s.Queues {
		q := &s.Queues[i]
		out.Queues[i] = metrics.TUNQueue{Batched: q.Batched, Read: readMetrics(&q.Read), Write: writeMetrics(&q.Write)}
		if netstack {
			out.Queues[i].Write.Dropped = nil
		}
	}
	return out
}

func readMetrics(r *tunwrap.ReadStats) metrics.TUNRead {
	return metrics.TUNRead{
		Traffic: metrics.Traffic{Packets: r.Packets, Bytes: r.Bytes},
		Reads:   r.Reads, Syscalls: r.Syscalls, Superpackets: r.Superpackets, Carried: r.Carried,
		Batches: histogramOf(r.Batches[:], powers, r.Packets),
		Dropped: []metrics.Count{
			{Name: "malformed", N: r.Dropped.Malformed},
			{Name: "truncated", N: r.Dropped.Truncated},
			{Name: "oversized", N: r.Dropped.Oversized},
			{Name: "refused", N: r.Dropped.Refused},
		},
	}
}

func writeMetrics(w *tunwrap.WriteStats) metrics.TUNWrite {
	return metrics.TUNWrite{
		Traffic: metrics.Traffic{Packets: w.Packets, Bytes: w.Bytes},
		Writes:  w.Writes, Single: w.Single, TCP: metrics.TUNMerge(w.TCP), UDP: metrics.TUNMerge(w.UDP),
		Empty: w.Empty, Errors: w.Errors,
		Batches: histogramOf(w.Batches[:], powers, w.Packets),
		Dropped: []metrics.Count{
			{Name: "down", N: w.Dropped.Down},
			{Name: "invalid", N: w.Dropped.Invalid},
			{Name: "no_buffer", N: w.Dropped.NoBuffer},
			{Name: "closed", N: w.Dropped.Closed},
			{Name: "other", N: w.Dropped.Other},
		},
	}
}

// hubMetrics leaves out what the filter denied, which the filter tells by reason.
func hubMetrics(s *hub.Stats, names map[filter.Party]string) *metrics.Hub {
	d := &s.Dropped
	out := &metrics.Hub{
		Forwarding: s.Forwarding.String(),
		Traffic:    metrics.Traffic{Packets: s.Cut.Packets, Bytes: s.Cut.Bytes},
		Batches:    histogramOf(s.Cut.Batches[:], powers, s.Cut.Packets),
		Held:       s.Held, MaxBytes: s.MaxBytes,
		LocalScope: s.LocalScope, Fragmented: s.Fragmented, Fragments: s.Fragments, ICMPSent: s.ICMPSent, ICMPLimited: s.ICMPLimited,
		Dropped: []metrics.Count{
			{Name: "full", N: d.Full},
			{Name: "hop_limit", N: d.HopLimit},
			{Name: "too_big", N: d.TooBig},
			{Name: "loop", N: d.Loop},
			{Name: "source", N: d.Source},
			{Name: "isolated", N: d.Isolated},
			{Name: "no_peer", N: d.NoPeer},
			{Name: "closed", N: d.Closed},
		},
	}
	for p := inner.OK + 1; int(p) < inner.Problems; p++ {
		out.Dropped = append(out.Dropped, metrics.Count{Name: "malformed_" + p.String(), N: s.Malformed[p]})
	}
	for _, l := range s.Lanes {
		out.Lanes = append(out.Lanes, metrics.HubLane{
			PublicKey: names[l.Party], Traffic: metrics.Traffic{Packets: l.Packets, Bytes: l.Bytes}, Full: l.Full, Held: l.Held,
		})
	}
	return out
}

func filterMetrics(s *filter.Stats) *metrics.Filter {
	out := &metrics.Filter{
		Flows: s.Flows, MaxFlows: s.MaxFlows, Fragments: s.Fragments,
		DeniedBytes: s.DeniedBytes, Evicted: s.Evicted, TableFull: s.TableFull,
	}
	for r := filter.Pass + 1; int(r) < filter.Reasons; r++ {
		out.Denied = append(out.Denied, metrics.Count{Name: r.String(), N: s.Denied[r]})
	}
	for _, r := range s.Rules {
		out.Rules = append(out.Rules, metrics.FilterRule{Text: r.Text, Traffic: metrics.Traffic{Packets: r.Packets, Bytes: r.Bytes}})
	}
	return out
}
