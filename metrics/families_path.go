// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// pathFamilies are those of path discovery.
func pathFamilies() []family {
	of := func(name string, k kind, help string, samples func(d *Discovery, w *writer), labels ...string) family {
		return family{name: name, kind: k, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.Discovery != nil {
				samples(s.Discovery, w)
			}
		}}
	}
	return []family{
		of("router_discovery_sent_messages_total", counter, "Messages of path discovery that were sent, by type.", func(d *Discovery, w *writer) { w.each(d.Sent) }, "type"),
		of("router_discovery_received_messages_total", counter, "Authentic, well-formed messages of path discovery that were received, by type.", func(d *Discovery, w *writer) { w.each(d.Received) }, "type"),
		of("router_discovery_dropped_messages_total", counter, "Messages of path discovery that were not sent or not heeded, by reason.", func(d *Discovery, w *writer) { w.each(d.Dropped) }, "reason"),
		of("router_path_switches_total", counter, "Times that any peer was given another path.", func(d *Discovery, w *writer) { w.count(d.Switches) }),
		of("router_path_doubts_total", counter, "Times that the path of any peer was doubted.", func(d *Discovery, w *writer) { w.count(d.Doubts) }),
		of("router_path_peers", gauge, "Peers now whose path is direct, or a relay.", func(d *Discovery, w *writer) {
			w.number(d.Direct, "direct")
			w.number(d.Relayed, "relay")
		}, "path"),
		of("router_path_router_peers", gauge, "Peers now that take part in path discovery.", func(d *Discovery, w *writer) { w.number(d.Routers) }),
		of("router_path_relays", gauge, "Relays with which the router is registered now.", func(d *Discovery, w *writer) { w.number(d.Relays) }),
		of("router_path_relay_sessions", gauge, "Sessions of the router that its relays have bound now.", func(d *Discovery, w *writer) { w.number(d.Sessions) }),
	}
}

// relayFamilies are those of the relay server.
func relayFamilies() []family {
	of := func(name string, k kind, help string, samples func(r *Relay, w *writer), labels ...string) family {
		return family{name: name, kind: k, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.Relay != nil {
				samples(s.Relay, w)
			}
		}}
	}
	return []family{
		of("router_relay_forwarded_packets_total", counter, "Frames that the relay forwarded.", func(r *Relay, w *writer) { w.count(r.Packets) }),
		of("router_relay_forwarded_bytes_total", counter, "Bytes of UDP payload that the relay forwarded.", func(r *Relay, w *writer) { w.count(r.Bytes) }),
		of("router_relay_clients", gauge, "Clients that the relay serves.", func(r *Relay, w *writer) { w.number(r.Clients) }),
		of("router_relay_registrations", gauge, "Clients that are registered with the relay now.", func(r *Relay, w *writer) { w.number(r.Registrations) }),
		of("router_relay_sessions", gauge, "Sessions of the relay now: bound at both ends, or open.", func(r *Relay, w *writer) {
			w.number(r.Bound, "bound")
			w.number(max(r.Sessions-r.Bound, 0), "open")
		}, "state"),
		of("router_relay_sessions_ended_total", counter, "Sessions of the relay that ended, by reason.", func(r *Relay, w *writer) { w.each(r.Ended) }, "reason"),
		of("router_relay_received_messages_total", counter, "Authentic messages of clients, by type.", func(r *Relay, w *writer) { w.each(r.Received) }, "type"),
		of("router_relay_sent_messages_total", counter, "Messages to clients, by type.", func(r *Relay, w *writer) { w.each(r.Sent) }, "type"),
	}
}
