// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// xdpFamilies are those of the AF_XDP sockets beside the UDP sockets.
func xdpFamilies() []family {
	xdp := func(name string, k kind, help string, samples func(x *XDP, w *writer), labels ...string) family {
		return family{name: name, kind: k, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.XDP != nil {
				samples(s.XDP, w)
			}
		}}
	}
	queue := func(name, help string, sample func(q *XDPQueue, w *writer, queue string), more ...string) family {
		return xdp(name, counter, help, func(x *XDP, w *writer) {
			for i := range x.Queues {
				sample(&x.Queues[i], w, index(x.Queues[i].Queue))
			}
		}, append([]string{"queue"}, more...)...)
	}
	count := func(name, help string, n func(q *XDPQueue) uint64) family {
		return queue(name, help, func(q *XDPQueue, w *writer, i string) { w.count(n(q), i) })
	}
	reasons := func(name, help, label string, counts func(x *XDP) []Count) family {
		return xdp(name, counter, help, func(x *XDP, w *writer) {
			for _, c := range counts(x) {
				w.count(c.N, word(c.Name))
			}
		}, label)
	}
	return []family{
		xdp("router_xdp_active", gauge, "1 if packets are received past the kernel, 0 if all of them go through the kernel's sockets though [Router] XDP asks for more. Absent when it does not.",
			func(x *XDP, w *writer) { w.truth(x.Active, x.Interface) }, "interface"),
		xdp("router_xdp_queues", gauge, "Queues of the interface that have an AF_XDP socket.", func(x *XDP, w *writer) {
			n := 0
			for i := range x.Queues {
				if x.Queues[i].Active {
					n++
				}
			}
			w.number(n)
		}),
		xdp("router_xdp_queues_limit", gauge, "Queues of the interface that may have an AF_XDP socket: as many as [Router] XDP says, or as the interface can have.", func(x *XDP, w *writer) { w.number(len(x.Queues)) }),
		xdp("router_xdp_queue_info", gauge, "Always 1. How a queue works: attach is native (in the driver) or generic, copy is zero-copy or copy. Absent while it has no socket.",
			func(x *XDP, w *writer) {
				for i := range x.Queues {
					q, how := &x.Queues[i], "copy"
					if q.ZeroCopy {
						how = "zero-copy"
					}
					if q.Active {
						w.float(1, x.Interface, index(q.Queue), x.Attach, how)
					}
				}
			}, "interface", "queue", "attach", "copy"),
		xdp("router_xdp_restarts_total", counter, "Times that packets were received past the kernel again after they had not been.", func(x *XDP, w *writer) { w.count(x.Restarts) }),

		count("router_xdp_receive_packets_total", "Frames that came past the kernel.", func(q *XDPQueue) uint64 { return q.Receive.Packets }),
		count("router_xdp_receive_bytes_total", "Bytes of Ethernet frames that came past the kernel.", func(q *XDPQueue) uint64 { return q.Receive.Bytes }),
		count("router_xdp_transmit_packets_total", "Frames that were handed over to be sent past the kernel.", func(q *XDPQueue) uint64 { return q.Transmit.Packets }),
		count("router_xdp_transmit_bytes_total", "Bytes of Ethernet frames that were handed over to be sent past the kernel.", func(q *XDPQueue) uint64 { return q.Transmit.Bytes }),
		count("router_xdp_transmit_completed_packets_total", "Frames that were sent past the kernel, and their memory given back.", func(q *XDPQueue) uint64 { return q.Completed }),
		count("router_xdp_transmit_dropped_packets_total", "Frames that the device refused and dropped (EBUSY).", func(q *XDPQueue) uint64 { return q.Dropped }),
		count("router_xdp_transmit_waits_total", "System calls to send for which the kernel had no room (EAGAIN, ENOBUFS).", func(q *XDPQueue) uint64 { return q.TxAgain }),
		queue("router_xdp_wakeups_total", "System calls because the kernel asked to be woken, to receive or to transmit.", func(q *XDPQueue, w *writer, i string) {
			w.count(q.RxWakes, i, "receive")
			w.count(q.TxWakes, i, "transmit")
		}, "direction"),
		count("router_xdp_wakeups_spared_total", "Times that frames were handed over to be sent without a system call.", func(q *XDPQueue) uint64 { return q.TxSpared }),
		queue("router_xdp_bad_descriptors_total", "Entries of a ring that the kernel wrote and that name no frame it has: of the receive or the completion ring.", func(q *XDPQueue, w *writer, i string) {
			w.count(q.RxBad, i, "receive")
			w.count(q.TxBad, i, "completion")
		}, "ring"),
		count("router_xdp_receive_too_long_packets_total", "Packets that were longer than a frame of memory takes; they are in rx_dropped of router_xdp_statistics_total too.", func(q *XDPQueue) uint64 { return q.RxTooLong }),
		queue("router_xdp_statistics_total", "What the kernel counts for the socket of a queue (XDP_STATISTICS), under its names. rx_dropped are packets that were too large or found no frame, rx_ring_full packets, too; the others are times, and entries of rings.", func(q *XDPQueue, w *writer, i string) {
			s := &q.Statistics
			for _, c := range [...]Count{
				{"rx_dropped", s.RxDropped}, {"rx_invalid_descs", s.RxInvalid}, {"tx_invalid_descs", s.TxInvalid},
				{"rx_ring_full", s.RxRingFull}, {"rx_fill_ring_empty_descs", s.RxFillRingEmpty}, {"tx_ring_empty_descs", s.TxRingEmpty},
			} {
				w.count(c.N, i, c.Name)
			}
		}, "counter"),
		reasons("router_xdp_frames_total", "Frames that came to the interface, by what the program decided: redirected past the kernel, or why they passed to it.", "verdict",
			func(x *XDP) []Count { return x.Program }),
		reasons("router_xdp_kernel_packets_total", "Packets that were sent through the kernel's sockets because they could not go past it, or not as fast, by reason.", "reason",
			func(x *XDP) []Count { return x.Kernel }),
	}
}
