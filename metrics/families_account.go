// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// accountFamilies count messages and packets where they pass from one part of the
// router to the next, so that what goes in is what comes out and what was dropped.
func accountFamilies() []family {
	receive := func(name, help string, samples func(r *Receive, w *writer), labels ...string) family {
		return family{name: name, kind: counter, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.Receive != nil {
				samples(s.Receive, w)
			}
		}}
	}
	device := func(name string, k kind, help string, samples func(g *WireGuard, w *writer), labels ...string) family {
		return family{name: name, kind: k, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.WireGuard != nil {
				samples(s.WireGuard, w)
			}
		}}
	}
	return []family{
		receive("router_receive_packets_total", "WireGuard messages that were handed to the WireGuard device.",
			func(r *Receive, w *writer) { w.count(r.Packets) }),
		receive("router_receive_messages_total", "WireGuard messages that were handed to the WireGuard device, by type.",
			func(r *Receive, w *writer) { w.each(r.Messages) }, "type"),
		receive("router_receive_authentic_packets_total", "Transport messages that the WireGuard device verified and that are no replays.",
			func(r *Receive, w *writer) { w.count(r.Authentic) }),
		receive("router_receive_errors_total", "Reads of a socket that failed.",
			func(r *Receive, w *writer) { w.count(r.Errors) }),
		device("router_receive_keepalives_total", counter, "Transport messages without a packet that the WireGuard device verified.",
			func(g *WireGuard, w *writer) { w.count(g.Keepalives) }),
		{name: "router_transmit_messages_total", kind: counter, help: "WireGuard messages that the WireGuard device gave to be sent, by type; data are those with a packet.",
			labels: []string{"type"}, samples: func(s *Snapshot, w *writer) {
				if s.Transmit != nil {
					w.each(s.Transmit.Messages)
				}
			}},
		device("router_inner_packets_total", counter, "Packets of the tunnel: that the WireGuard device was given to encrypt (transmit), and that it gave out (receive).",
			func(g *WireGuard, w *writer) {
				w.count(g.PacketsIn, "transmit")
				w.count(g.PacketsOut, "receive")
			}, "direction"),
		device("router_wireguard_pending_packets", gauge, "What the WireGuard device was given less what it gave out or told to have dropped. transmit: packets under way, those that wait for a handshake, and all that it gave up while waiting. receive: messages under way, and all that were of no known session or not authentic. It tells them apart nowhere, so those that are gone stay in the number.",
			func(g *WireGuard, w *writer) {
				w.float(float64(g.PendingTransmit), "transmit")
				w.float(float64(g.PendingReceive), "receive")
			}, "direction"),
		{name: "router_path_packets_total", kind: counter, help: "WireGuard messages by how they went: path is direct or relay, family that of the outer packets. Received ones came from where a peer had been heard before, and may be replays.",
			labels: []string{"direction", "path", "family"}, samples: func(s *Snapshot, w *writer) { w.paths(s.Paths, false) }},
		{name: "router_path_bytes_total", kind: counter, help: "Bytes of WireGuard messages by how they went, as router_path_packets_total.",
			labels: []string{"direction", "path", "family"}, samples: func(s *Snapshot, w *writer) { w.paths(s.Paths, true) }},
		{name: "router_dropped_packets_total", kind: counter, help: "Packets that went no further, by stage and reason. No packet is counted twice; all of them together are what was dropped, but for what is in router_wireguard_pending_packets.",
			labels: []string{"stage", "reason"}, samples: func(s *Snapshot, w *writer) {
				for _, d := range s.Drops() {
					w.count(d.Packets, d.Stage, d.Reason)
				}
			}},
	}
}

// peerPathFamilies are those of what went to and came from a peer, by kind of path.
func peerPathFamilies() []family {
	peer := func(name, help string, bytes bool) family {
		return family{name: name, kind: counter, help: help, labels: []string{"public_key", "direction", "path", "family"}, perPeer: true,
			samples: func(s *Snapshot, w *writer) {
				for i := range s.Peers {
					w.paths(s.Peers[i].Traffic, bytes, s.Peers[i].PublicKey)
				}
			}}
	}
	return []family{
		peer("router_peer_path_packets_total", "WireGuard messages to and from a peer by how they went, as router_path_packets_total. Ways that nothing went are absent.", false),
		peer("router_peer_path_bytes_total", "Bytes of WireGuard messages to and from a peer by how they went. Ways that nothing went are absent.", true),
	}
}

// paths adds samples for ways, two each. Those of a peer that were never used are left
// out.
func (w *writer) paths(ways []PathTraffic, bytes bool, peer ...string) {
	for i := range ways {
		p := &ways[i]
		if len(peer) > 0 && p.Tx.Packets+p.Rx.Packets == 0 {
			continue
		}
		tx, rx := p.Tx.Packets, p.Rx.Packets
		if bytes {
			tx, rx = p.Tx.Bytes, p.Rx.Bytes
		}
		var room [4]string
		labels := append(append(room[:0], peer...), "transmit", p.Path, p.Family)
		w.count(tx, labels...)
		labels[len(peer)] = "receive"
		w.count(rx, labels...)
	}
}
