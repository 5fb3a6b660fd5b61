// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// hubFamilies are those of packets from peer to peer.
func hubFamilies() []family {
	hub := func(name string, k kind, help string, samples func(h *Hub, w *writer), labels ...string) family {
		return family{name: name, kind: k, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.Hub != nil {
				samples(s.Hub, w)
			}
		}}
	}
	count := func(name, help string, n func(h *Hub) uint64) family {
		return hub(name, counter, help, func(h *Hub, w *writer) { w.count(n(h)) })
	}
	lane := func(name string, k kind, help string, n func(l *HubLane) uint64) family {
		f := hub(name, k, help, func(h *Hub, w *writer) {
			for i := range h.Lanes {
				w.count(n(&h.Lanes[i]), h.Lanes[i].PublicKey)
			}
		}, "public_key")
		f.perPeer = true
		return f
	}
	return []family{
		hub("router_hub_forwarding_info", gauge, "Always 1. What becomes of packets from peer to peer: off (they are the host's), on or isolated.",
			func(h *Hub, w *writer) { w.float(1, h.Forwarding) }, "forwarding"),
		count("router_hub_packets_total", "Packets that went from peer to peer without the host.", func(h *Hub) uint64 { return h.Packets }),
		count("router_hub_bytes_total", "Bytes of packets that went from peer to peer without the host.", func(h *Hub) uint64 { return h.Bytes }),
		hub("router_hub_batch_packets", histogram, "Packets of a batch from peer to peer.", func(h *Hub, w *writer) { w.histogram(&h.Batches) }),
		hub("router_hub_held_bytes", gauge, "Memory that holds packets that wait for a peer.", func(h *Hub, w *writer) { w.float(float64(h.Held)) }),
		hub("router_hub_held_limit_bytes", gauge, "Memory that may hold packets that wait for a peer.", func(h *Hub, w *writer) { w.float(float64(h.MaxBytes)) }),
		count("router_hub_local_scope_packets_total", "Packets from peers that stayed with the host because their addresses may not be routed.", func(h *Hub) uint64 { return h.LocalScope }),
		count("router_hub_fragmented_packets_total", "Packets that were cut to the MTU.", func(h *Hub) uint64 { return h.Fragmented }),
		count("router_hub_fragments_total", "Packets that became of those that were cut.", func(h *Hub) uint64 { return h.Fragments }),
		count("router_hub_icmp_sent_total", "ICMP errors that were sent to peers.", func(h *Hub) uint64 { return h.ICMPSent }),
		count("router_hub_icmp_limited_total", "ICMP errors that were not sent because the peer had had its share.", func(h *Hub) uint64 { return h.ICMPLimited }),
		lane("router_hub_peer_packets_total", counter, "Packets that other peers sent to a peer.", func(l *HubLane) uint64 { return l.Packets }),
		lane("router_hub_peer_bytes_total", counter, "Bytes of packets that other peers sent to a peer.", func(l *HubLane) uint64 { return l.Bytes }),
		lane("router_hub_peer_dropped_packets_total", counter, "Packets from other peers to a peer that found no room; they are in router_dropped_packets_total too.", func(l *HubLane) uint64 { return l.Full }),
		lane("router_hub_peer_held_bytes", gauge, "Memory that holds packets that wait for a peer.", func(l *HubLane) uint64 { return uint64(max(l.Held, 0)) }),
	}
}

// filterFamilies are those of the packet filter.
func filterFamilies() []family {
	filter := func(name string, k kind, help string, samples func(f *Filter, w *writer), labels ...string) family {
		return family{name: name, kind: k, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.Filter != nil {
				samples(s.Filter, w)
			}
		}}
	}
	rule := func(name, help string, n func(r *FilterRule) uint64) family {
		return filter(name, counter, help, func(f *Filter, w *writer) {
			for i := range f.Rules {
				w.count(n(&f.Rules[i]), index(i+1), f.Rules[i].Text)
			}
		}, "rule", "text")
	}
	return []family{
		rule("router_filter_rule_packets_total", "Packets that a rule matched, for Allow in both directions. rule is its place, from 1.", func(r *FilterRule) uint64 { return r.Packets }),
		rule("router_filter_rule_bytes_total", "Bytes of packets that a rule matched.", func(r *FilterRule) uint64 { return r.Bytes }),
		filter("router_filter_flows", gauge, "Flows that are known now.", func(f *Filter, w *writer) { w.number(f.Flows) }),
		filter("router_filter_flows_limit", gauge, "Flows that there can be.", func(f *Filter, w *writer) { w.number(f.MaxFlows) }),
		filter("router_filter_fragmented_datagrams", gauge, "Datagrams in fragments that are followed now.", func(f *Filter, w *writer) { w.number(f.Fragments) }),
		filter("router_filter_denied_bytes_total", counter, "Bytes of packets that were denied; the packets are the filter stage of router_dropped_packets_total.", func(f *Filter, w *writer) { w.count(f.DeniedBytes) }),
		filter("router_filter_flows_evicted_total", counter, "Live flows that made room for others.", func(f *Filter, w *writer) { w.count(f.Evicted) }),
		filter("router_filter_table_full_packets_total", counter, "Packets that passed but found no room for their flow.", func(f *Filter, w *writer) { w.count(f.TableFull) }),
	}
}
