// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// netstackFamilies are those of the TCP/IP stack of netstack mode.
func netstackFamilies() []family {
	of := func(name string, k kind, help string, samples func(n *Netstack, w *writer), labels ...string) family {
		return family{name: name, kind: k, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.Netstack != nil {
				samples(s.Netstack, w)
			}
		}}
	}
	count := func(name, help string, n func(n *Netstack) uint64) family {
		return of(name, counter, help, func(s *Netstack, w *writer) { w.count(n(s)) })
	}
	queue := func(name string, k kind, help string, n func(q *NetstackQueue) uint64) family {
		return of(name, k, help, func(s *Netstack, w *writer) {
			for i := range s.Queues {
				w.count(n(&s.Queues[i]), index(i))
			}
		}, "queue")
	}
	requests := func(name string, k kind, help string, samples func(r *TCPRequests, w *writer, use string), more ...string) family {
		return of(name, k, help, func(s *Netstack, w *writer) {
			samples(&s.Ports, w, "own")
			samples(&s.Transit, w, "transit")
		}, append([]string{"address"}, more...)...)
	}
	return []family{
		queue("router_netstack_out_packets_total", counter, "Packets from the stack into the tunnel.", func(q *NetstackQueue) uint64 { return q.Packets }),
		queue("router_netstack_out_bytes_total", counter, "Bytes of packets from the stack into the tunnel.", func(q *NetstackQueue) uint64 { return q.Bytes }),
		queue("router_netstack_out_superpackets_total", counter, "Superpackets of the stack that became more than one packet.", func(q *NetstackQueue) uint64 { return q.Superpackets }),
		queue("router_netstack_out_reads_total", counter, "Reads that brought packets of the stack.", func(q *NetstackQueue) uint64 { return q.Reads }),
		queue("router_netstack_out_waits_total", counter, "Times that a sender in the stack waited for room.", func(q *NetstackQueue) uint64 { return q.Waits }),
		queue("router_netstack_queue_packets", gauge, "Packets and superpackets that wait for the tunnel now.", func(q *NetstackQueue) uint64 { return uint64(max(q.Depth, 0)) }),
		queue("router_netstack_queue_bytes", gauge, "Bytes that wait for the tunnel now.", func(q *NetstackQueue) uint64 { return uint64(max(q.DepthBytes, 0)) }),
		of("router_netstack_out_batch_packets", histogram, "Packets that a read brought from the stack.", func(s *Netstack, w *writer) {
			for i := range s.Queues {
				w.histogram(&s.Queues[i].Batches, index(i))
			}
		}, "queue"),

		count("router_netstack_in_packets_total", "Packets out of the tunnel that the stack took.", func(n *Netstack) uint64 { return n.In.Packets }),
		count("router_netstack_in_bytes_total", "Bytes of packets out of the tunnel that the stack took.", func(n *Netstack) uint64 { return n.In.Bytes }),
		count("router_netstack_in_delivered_total", "Packets and superpackets that the stack was given for them.", func(n *Netstack) uint64 { return n.InDelivered }),
		count("router_netstack_in_writes_total", "Writes to the stack.", func(n *Netstack) uint64 { return n.InWrites }),
		of("router_netstack_in_batch_packets", histogram, "Packets of a write to the stack.", func(n *Netstack, w *writer) { w.histogram(&n.InBatches) }),

		of("router_netstack_tcp_connections", gauge, "TCP connections of the stack now.", func(n *Netstack, w *writer) { w.count(n.TCP.Established) }),
		count("router_netstack_tcp_retransmits_total", "TCP segments that the stack sent again.", func(n *Netstack) uint64 { return n.TCP.Retransmits }),
		count("router_netstack_tcp_timeouts_total", "TCP retransmission timers that ran out.", func(n *Netstack) uint64 { return n.TCP.Timeouts }),
		of("router_netstack_tcp_resets_total", counter, "TCP resets of the stack.", func(n *Netstack, w *writer) {
			w.count(n.TCP.ResetsSeen, "receive")
			w.count(n.TCP.ResetsSent, "transmit")
		}, "direction"),
		requests("router_netstack_tcp_requests_total", counter, "Requests to connect, to the router's own addresses or in transit, by what became of them.",
			func(r *TCPRequests, w *writer, use string) {
				w.count(r.Accepted, use, "accepted")
				w.count(r.Refused, use, "refused")
				w.count(r.Ignored, use, "ignored")
				w.count(r.Failed, use, "failed")
				for _, c := range r.Dropped {
					w.count(c.N, use, "dropped_"+word(c.Name))
				}
			}, "verdict"),
		requests("router_netstack_tcp_requests_handled_total", counter, "Requests to connect that were handed to a service.",
			func(r *TCPRequests, w *writer, use string) { w.count(r.Requests, use) }),
		requests("router_netstack_tcp_requests_pending", gauge, "Requests and handshakes that are under way now.",
			func(r *TCPRequests, w *writer, use string) { w.number(r.Pending, use) }),

		of("router_netstack_udp_ports", gauge, "UDP ports that are open now.", func(n *Netstack, w *writer) { w.number(n.UDP.Ports) }),
		of("router_netstack_udp_datagrams_total", counter, "UDP datagrams: handed to ports, handed on in transit, sent into the tunnel, sent to the router itself.", func(n *Netstack, w *writer) {
			w.count(n.UDP.Port.Packets, "port")
			w.count(n.UDP.Transit.Packets, "transit")
			w.count(n.UDP.Sent.Packets, "sent")
			w.count(n.UDP.Looped, "looped")
		}, "kind"),
		of("router_netstack_udp_bytes_total", counter, "Bytes of payload of UDP datagrams: handed to ports, handed on in transit, sent into the tunnel.", func(n *Netstack, w *writer) {
			w.count(n.UDP.Port.Bytes, "port")
			w.count(n.UDP.Transit.Bytes, "transit")
			w.count(n.UDP.Sent.Bytes, "sent")
		}, "kind"),
		count("router_netstack_udp_fragmented_total", "Sent UDP datagrams that were longer than the MTU.", func(n *Netstack) uint64 { return n.UDP.SentFragmented }),
		count("router_netstack_unreachable_sent_total", "Port unreachable messages that were sent.", func(n *Netstack) uint64 { return n.UDP.Unreachable }),
		count("router_netstack_unreachable_limited_total", "Port unreachable messages that were not sent, beyond the rate.", func(n *Netstack) uint64 { return n.UDP.UnreachableCut }),
		count("router_netstack_echo_requests_total", "Echo requests in transit that were taken.", func(n *Netstack) uint64 { return n.EchoRequests }),
		count("router_netstack_echo_replies_total", "Echo replies in transit that were sent.", func(n *Netstack) uint64 { return n.EchoReplies }),
	}
}
