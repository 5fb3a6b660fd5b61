// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// socketFamilies are those of UDP sockets.
func socketFamilies() []family {
	socket := func(name string, k kind, help string, sample func(o *Socket, w *writer, labels ...string), more ...string) family {
		return family{name: name, kind: k, help: help, labels: append([]string{"use", "address", "socket"}, more...),
			samples: func(s *Snapshot, w *writer) {
				for i := range s.Sockets {
					o := &s.Sockets[i]
					sample(o, w, o.Use, o.Address, index(o.Index))
				}
			}}
	}
	count := func(name, help string, n func(o *Socket) uint64) family {
		return socket(name, counter, help, func(o *Socket, w *writer, labels ...string) { w.count(n(o), labels...) })
	}
	histo := func(name, help string, h func(o *Socket) *Histogram) family {
		return socket(name, histogram, help, func(o *Socket, w *writer, labels ...string) { w.histogram(h(o), labels...) })
	}
	group := func(name, help string, n func(g *SocketGroup) int) family {
		return family{name: name, kind: gauge, help: help, labels: []string{"network"}, samples: func(s *Snapshot, w *writer) {
			for i := range s.Groups {
				w.number(n(&s.Groups[i]), s.Groups[i].Network)
			}
		}}
	}
	return []family{
		group("router_sockets", "UDP sockets for peers, by address family.", func(g *SocketGroup) int { return g.Got }),
		group("router_sockets_requested", "UDP sockets for peers that there should be, by address family.", func(g *SocketGroup) int { return g.Asked }),

		count("router_socket_receive_packets_total", "Packets that a socket received and handed on.", func(o *Socket) uint64 { return o.Receive.Packets }),
		count("router_socket_receive_bytes_total", "Bytes of UDP payload that a socket received and handed on.", func(o *Socket) uint64 { return o.Receive.Bytes }),
		count("router_socket_receive_messages_total", "Messages that a socket received. With GRO one is many packets.", func(o *Socket) uint64 { return o.Receive.Messages }),
		count("router_socket_receive_calls_total", "Calls of recvmmsg(2) that brought messages.", func(o *Socket) uint64 { return o.Receive.Calls }),
		count("router_socket_receive_copied_packets_total", "Packets that did not land in their place and were copied.", func(o *Socket) uint64 { return o.Receive.Copied }),
		count("router_socket_receive_long_segments_total", "Messages with a segment size larger than themselves.", func(o *Socket) uint64 { return o.Receive.LongSegments }),
		count("router_socket_receive_overflow_packets_total", "Packets that the kernel dropped because the receive buffer was full, or their checksum wrong (SO_RXQ_OVFL). What GRO had merged counts as one.", func(o *Socket) uint64 { return o.Receive.Overflow }),
		socket("router_socket_receive_dropped_packets_total", counter, "Packets that a socket received and that could not be handed on, by reason. They are in router_dropped_packets_total too, which keeps those of sockets that are closed.",
			func(o *Socket, w *writer, l ...string) {
				for _, c := range o.Receive.Dropped {
					w.count(c.N, l[0], l[1], l[2], c.Name)
				}
			}, "reason"),
		histo("router_socket_receive_packets_per_call", "Packets that a call of recvmmsg(2) brought.", func(o *Socket) *Histogram { return &o.Receive.PacketsPerCall }),
		histo("router_socket_receive_segments_per_message", "Packets that GRO had merged in a message.", func(o *Socket) *Histogram { return &o.Receive.PacketsPerMessage }),

		count("router_socket_transmit_packets_total", "Packets that the kernel took.", func(o *Socket) uint64 { return o.Transmit.Packets }),
		count("router_socket_transmit_bytes_total", "Bytes of UDP payload that the kernel took.", func(o *Socket) uint64 { return o.Transmit.Bytes }),
		count("router_socket_transmit_messages_total", "Messages that the kernel took. With GSO one is many packets.", func(o *Socket) uint64 { return o.Transmit.Messages }),
		count("router_socket_transmit_calls_total", "Calls of sendmmsg(2) that took messages.", func(o *Socket) uint64 { return o.Transmit.Calls }),
		count("router_socket_transmit_waits_total", "Calls that found the send buffer full.", func(o *Socket) uint64 { return o.Transmit.Waits }),
		count("router_socket_transmit_sentinels_total", "Packets of one byte that were added to messages.", func(o *Socket) uint64 { return o.Transmit.Sentinels }),
		histo("router_socket_transmit_packets_per_call", "Packets that a call of sendmmsg(2) took.", func(o *Socket) *Histogram { return &o.Transmit.PacketsPerCall }),
		histo("router_socket_transmit_segments_per_message", "Packets of a message that GSO was to cut.", func(o *Socket) *Histogram { return &o.Transmit.PacketsPerMessage }),
		socket("router_socket_transmit_refused_packets_total", counter, "Packets that the kernel did not take, by reason. Those refused for their source address may have left from another one after that: drops are in router_dropped_packets_total.",
			func(o *Socket, w *writer, l ...string) {
				for _, c := range o.Transmit.Dropped {
					w.count(c.N, l[0], l[1], l[2], c.Name)
				}
			}, "reason"),
		socket("router_socket_gso_fallbacks_total", counter, "Messages that the kernel refused as segmented and that were sent otherwise: eio, einval and emsgsize one packet each, segments with fewer of them.",
			func(o *Socket, w *writer, l ...string) {
				for _, c := range o.Transmit.Fallbacks {
					w.count(c.N, l[0], l[1], l[2], c.Name)
				}
			}, "reason"),
		socket("router_socket_offload_enabled", gauge, "1 if segmented messages are sent (gso), and received (gro), else 0.",
			func(o *Socket, w *writer, l ...string) {
				w.truth(o.GSO, l[0], l[1], l[2], "gso")
				w.truth(o.GRO, l[0], l[1], l[2], "gro")
			}, "offload"),
		socket("router_socket_memory_bytes", gauge, "Memory of a socket now, and its limits (SO_MEMINFO): kind is its name in the kernel. Absent when the kernel does not tell.",
			func(o *Socket, w *writer, l ...string) {
				m := o.Memory
				if m == nil {
					return
				}
				for _, c := range [...]Count{
					{"rmem_alloc", uint64(m.ReceiveQueued)}, {"rcvbuf", uint64(m.ReceiveBuffer)},
					{"wmem_alloc", uint64(m.SendQueued)}, {"sndbuf", uint64(m.SendBuffer)},
					{"fwd_alloc", uint64(m.Forward)}, {"wmem_queued", uint64(m.WriteQueued)},
					{"optmem", uint64(m.Options)}, {"backlog", uint64(m.Backlog)},
				} {
					w.count(c.N, l[0], l[1], l[2], c.Name)
				}
			}, "kind"),
		socket("router_socket_memory_drops_total", counter, "Packets that found no room in a socket since it was opened (SO_MEMINFO). Wraps at 2^32. Absent when the kernel does not tell.",
			func(o *Socket, w *writer, l ...string) {
				if o.Memory != nil {
					w.count(uint64(o.Memory.Drops), l...)
				}
			}),
	}
}
