// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/netstack"
)

func netstackMetrics(s *netstack.Stats) *metrics.Netstack {
	if s == nil {
		return nil
	}
	in, udp := &s.Inbound, &s.UDP
	out := &metrics.Netstack{
		In: metrics.Traffic{Packets: in.Packets, Bytes: in.Bytes}, InDelivered: in.Delivered, InWrites: in.Writes,
		InBatches: histogramOf(in.Batches[:], powers, in.Packets),
		InDropped: []metrics.Count{
			{Name: "short", N: in.DropsShort},
			{Name: "version", N: in.DropsVersion},
			{Name: "length", N: in.DropsLength},
			{Name: "ip_checksum", N: in.DropsIPChecksum},
			{Name: "checksum", N: in.DropsChecksum},
			{Name: "address", N: in.DropsAddress},
			{Name: "source", N: in.DropsSource},
			{Name: "closed", N: in.DropsClosed},
		},
		TCP: metrics.NetstackTCP(s.TCP),
		UDP: metrics.NetstackUDP{
			Ports:          udp.Ports,
			Port:           metrics.Traffic{Packets: udp.PortDatagrams, Bytes: udp.PortBytes},
			Transit:        metrics.Traffic{Packets: udp.TransitDatagrams, Bytes: udp.TransitBytes},
			Sent:           metrics.Traffic{Packets: udp.Sent, Bytes: udp.SentBytes},
			SentFragmented: udp.SentFragmented, Looped: udp.Looped,
			Unreachable: udp.Unreachable, UnreachableCut: udp.UnreachableLimited,
			Dropped: []metrics.Count{
				{Name: "refused", N: udp.DropsRefused},
				{Name: "source", N: udp.DropsSource},
				{Name: "malformed", N: udp.DropsMalformed},
				{Name: "closed", N: udp.DropsClosed},
			},
		},
		EchoRequests: s.Echo.Requests, EchoReplies: s.Echo.Replies,
		EchoDropped: []metrics.Count{
			{Name: "refused", N: s.Echo.DropsRefused},
			{Name: "checksum", N: s.Echo.DropsChecksum},
		},
		Ports: requestMetrics(&s.Ports), Transit: requestMetrics(&s.Transit),
	}
	for i := range s.Queues {
		q := &s.Queues[i]
		out.Queues = append(out.Queues, metrics.NetstackQueue{
			Traffic:      metrics.Traffic{Packets: q.Packets, Bytes: q.Bytes},
			Superpackets: q.Superpackets, Reads: q.Reads, Waits: q.Waits, Depth: q.Depth, DepthBytes: q.DepthBytes,
			Batches: histogramOf(q.Batches[:], powers, q.Packets),
			Dropped: []metrics.Count{
				{Name: "full", N: q.DropsFull},
				{Name: "slab", N: q.DropsSlab},
				{Name: "closed", N: q.DropsClosed},
			},
		})
	}
	return out
}

func requestMetrics(r *netstack.TCPRequestStats) metrics.TCPRequests {
	return metrics.TCPRequests{
		Requests: r.Requests, Accepted: r.Accepted, Refused: r.Refused, Ignored: r.Ignored, Failed: r.Failed, Pending: r.Pending,
		Dropped: []metrics.Count{{Name: "limit", N: r.DropsLimit}, {Name: "client", N: r.DropsClient}},
	}
}

func serviceMetrics(s *ServiceStats) metrics.Service {
	return metrics.Service{
		Section: sectionName(s.Section), Listen: s.Listen, Target: s.Target,
		Active: s.Active, Accepted: s.Accepted,
		BytesOut: s.BytesOut, BytesIn: s.BytesIn, DatagramsOut: s.DatagramsOut, DatagramsIn: s.DatagramsIn,
		Failures: []metrics.Count{
			{Name: "limit", N: s.Refused},
			{Name: "target_refused", N: s.DialFailures.Refused},
			{Name: "target_timeout", N: s.DialFailures.Timeout},
			{Name: "target_unreachable", N: s.DialFailures.Unreachable},
			{Name: "name_not_found", N: s.DialFailures.NotFound},
			{Name: "target_failed", N: s.DialFailures.Other},
			{Name: "reset", N: s.Resets},
			{Name: "idle", N: s.Idle},
			{Name: "wrong_password", N: s.AuthFailures},
			{Name: "bad_request", N: s.BadRequests},
			{Name: "request_timeout", N: s.Timeouts},
			{Name: "accept_failed", N: s.AcceptErrors},
			{Name: "forbidden", N: s.Denied},
		},
		Dropped: []metrics.Count{
			{Name: "malformed", N: s.Drops.Malformed},
			{Name: "fragment", N: s.Drops.Fragment},
			{Name: "foreign", N: s.Drops.Foreign},
			{Name: "full", N: s.Drops.Full},
			{Name: "send", N: s.Drops.Send},
			{Name: "resolve", N: s.Drops.Resolve},
		},
	}
}

// sectionName is what the status calls a section that runs something.
func sectionName(section string) string {
	if section == "Router" {
		return "SubnetRouter"
	}
	return section
}
