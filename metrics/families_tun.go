// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// tunFamilies are those of the tunnel device.
func tunFamilies() []family {
	queue := func(name string, k kind, help string, sample func(q *TUNQueue, w *writer, queue string), more ...string) family {
		return family{name: name, kind: k, help: help, labels: append([]string{"queue"}, more...), samples: func(s *Snapshot, w *writer) {
			if s.TUN != nil {
				for i := range s.TUN.Queues {
					sample(&s.TUN.Queues[i], w, index(i))
				}
			}
		}}
	}
	count := func(name, help string, n func(q *TUNQueue) uint64) family {
		return queue(name, counter, help, func(q *TUNQueue, w *writer, i string) { w.count(n(q), i) })
	}
	merged := func(name, help string, n func(m *TUNMerge) uint64) family {
		return queue(name, counter, help, func(q *TUNQueue, w *writer, i string) {
			w.count(n(&q.Write.TCP), i, "tcp")
			w.count(n(&q.Write.UDP), i, "udp")
		}, "protocol")
	}
	tun := func(name, help string, samples func(t *TUN, w *writer), labels ...string) family {
		return family{name: name, kind: gauge, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.TUN != nil {
				samples(s.TUN, w)
			}
		}}
	}
	return []family{
		tun("router_tun_queues", "Queues of the tunnel device.", func(t *TUN, w *writer) { w.number(len(t.Queues)) }),
		tun("router_tun_queues_requested", "Queues that the tunnel device should have.", func(t *TUN, w *writer) { w.number(t.QueuesAsked) }),
		tun("router_tun_steering_info", "Always 1. How packets choose a queue: none, destination or kernel.",
			func(t *TUN, w *writer) { w.float(1, t.Steering) }, "steering"),
		tun("router_tun_merging_enabled", "1 if packets of a protocol are merged when written, else 0.",
			func(t *TUN, w *writer) {
				w.truth(t.MergingTCP, "tcp")
				w.truth(t.MergingUDP, "udp")
			}, "protocol"),
		queue("router_tun_queue_batched", gauge, "1 if a queue is read many packets at a time, else 0.",
			func(q *TUNQueue, w *writer, i string) { w.truth(q.Batched, i) }),

		count("router_tun_read_packets_total", "Packets read from the tunnel device: segments, where there were superpackets.", func(q *TUNQueue) uint64 { return q.Read.Packets }),
		count("router_tun_read_bytes_total", "Bytes of packets read from the tunnel device.", func(q *TUNQueue) uint64 { return q.Read.Bytes }),
		count("router_tun_reads_total", "Reads of the tunnel device that brought packets.", func(q *TUNQueue) uint64 { return q.Read.Reads }),
		count("router_tun_read_syscalls_total", "Calls of read(2), those that found nothing included.", func(q *TUNQueue) uint64 { return q.Read.Syscalls }),
		count("router_tun_read_superpackets_total", "Packets that the kernel left to be cut into segments.", func(q *TUNQueue) uint64 { return q.Read.Superpackets }),
		count("router_tun_read_carried_total", "Times that a packet, or a rest of one, waited for the next read.", func(q *TUNQueue) uint64 { return q.Read.Carried }),
		queue("router_tun_read_batch_packets", histogram, "Packets that a read of the tunnel device brought.",
			func(q *TUNQueue, w *writer, i string) { w.histogram(&q.Read.Batches, i) }),

		count("router_tun_write_packets_total", "Packets that the tunnel device took.", func(q *TUNQueue) uint64 { return q.Write.Packets }),
		count("router_tun_write_bytes_total", "Bytes of packets that the tunnel device took.", func(q *TUNQueue) uint64 { return q.Write.Bytes }),
		count("router_tun_writes_total", "Writes to the tunnel device that brought packets there.", func(q *TUNQueue) uint64 { return q.Write.Writes }),
		count("router_tun_write_single_packets_total", "Packets that went to the kernel alone.", func(q *TUNQueue) uint64 { return q.Write.Single }),
		count("router_tun_write_empty_total", "Slots of writes without a byte.", func(q *TUNQueue) uint64 { return q.Write.Empty }),
		count("router_tun_write_errors_total", "Writes to the tunnel device that failed.", func(q *TUNQueue) uint64 { return q.Write.Errors }),
		queue("router_tun_write_batch_packets", histogram, "Packets that a write brought to the tunnel device.",
			func(q *TUNQueue, w *writer, i string) { w.histogram(&q.Write.Batches, i) }),
		merged("router_tun_write_merged_packets_total", "Packets that went to the kernel in superpackets.", func(m *TUNMerge) uint64 { return m.Packets }),
		merged("router_tun_write_superpackets_total", "Superpackets that the kernel took.", func(m *TUNMerge) uint64 { return m.Superpackets }),
		merged("router_tun_write_merge_fallbacks_total", "Superpackets that the kernel refused, and whose packets it then took.", func(m *TUNMerge) uint64 { return m.Fallbacks }),
	}
}

// linkFamilies are what the kernel counts for the tunnel interface.
func linkFamilies() []family {
	link := func(name, help string, samples func(l *Link, w *writer), labels ...string) family {
		return family{name: name, kind: counter, help: help + " As the kernel sees it: it transmits what the router reads. Absent when it does not tell.",
			labels: labels, samples: func(s *Snapshot, w *writer) {
				if s.Link != nil {
					samples(s.Link, w)
				}
			}}
	}
	both := func(name, help string, rx, tx func(l *Link) uint64) family {
		return link(name, help, func(l *Link, w *writer) {
			w.count(rx(l), "receive")
			w.count(tx(l), "transmit")
		}, "direction")
	}
	return []family{
		both("router_tun_link_packets_total", "Packets of the tunnel interface.",
			func(l *Link) uint64 { return l.RxPackets }, func(l *Link) uint64 { return l.TxPackets }),
		both("router_tun_link_bytes_total", "Bytes of the tunnel interface.",
			func(l *Link) uint64 { return l.RxBytes }, func(l *Link) uint64 { return l.TxBytes }),
		both("router_tun_link_errors_total", "Errors of the tunnel interface.",
			func(l *Link) uint64 { return l.RxErrors }, func(l *Link) uint64 { return l.TxErrors }),
		both("router_tun_link_dropped_packets_total", "Packets that the tunnel interface dropped; transmit: because the router did not read them in time, which is the tun_link stage of router_dropped_packets_total.",
			func(l *Link) uint64 { return l.RxDropped }, func(l *Link) uint64 { return l.TxDropped }),
		link("router_tun_link_errors_by_reason_total", "Errors of the tunnel interface by reason.", func(l *Link, w *writer) {
			for _, c := range l.RxErrorsBy {
				w.count(c.N, "receive", c.Name)
			}
			for _, c := range l.TxErrorsBy {
				w.count(c.N, "transmit", c.Name)
			}
		}, "direction", "reason"),
		link("router_tun_link_multicast_packets_total", "Multicast packets that the tunnel interface received.", func(l *Link, w *writer) { w.count(l.Multicast) }),
		link("router_tun_link_collisions_total", "Collisions on the tunnel interface.", func(l *Link, w *writer) { w.count(l.Collisions) }),
		link("router_tun_link_unwanted_packets_total", "Packets that nothing in the host wanted.", func(l *Link, w *writer) {
			if l.RxNoHandler != nil {
				w.count(*l.RxNoHandler)
			}
		}),
	}
}
