// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

import "strings"

// peerFamilies are those with samples for each peer. The wireguard_ ones have the
// names, labels and meaning of github.com/mdlayher/wireguard_exporter.
func peerFamilies() []family {
	peer := func(name string, k kind, help string, sample func(p *Peer, w *writer), labels ...string) family {
		return family{name: name, kind: k, help: help, labels: append([]string{"public_key"}, labels...), perPeer: true,
			samples: func(s *Snapshot, w *writer) {
				for i := range s.Peers {
					sample(&s.Peers[i], w)
				}
			}}
	}
	network := func(name, help string, n func(n *PeerNetwork) uint64) family {
		return peer(name, counter, help, func(p *Peer, w *writer) {
			if p.Network != nil {
				w.count(n(p.Network), p.PublicKey)
			}
		})
	}
	return []family{
		peer("wireguard_peer_info", gauge, "Always 1. The address a peer is at now, empty while none is known, and its name.",
			func(p *Peer, w *writer) {
				endpoint := ""
				if p.Endpoint.IsValid() {
					endpoint = p.Endpoint.String()
				}
				w.float(1, p.PublicKey, endpoint, p.Name)
			}, "endpoint", "name"),
		peer("wireguard_peer_allowed_ips_info", gauge, "Always 1. A range of addresses that is routed to a peer and accepted from it.",
			func(p *Peer, w *writer) {
				for _, prefix := range p.AllowedIPs {
					family := "IPv6"
					if prefix.Addr().Is4() {
						family = "IPv4"
					}
					w.float(1, p.PublicKey, prefix.String(), family)
				}
			}, "allowed_ips", "family"),
		peer("wireguard_peer_receive_bytes_total", counter, "Bytes of authentic WireGuard messages that came from a peer.",
			func(p *Peer, w *writer) { w.count(p.RxBytes, p.PublicKey) }),
		peer("wireguard_peer_transmit_bytes_total", counter, "Bytes of WireGuard messages that left for a peer.",
			func(p *Peer, w *writer) { w.count(p.TxBytes, p.PublicKey) }),
		peer("wireguard_peer_last_handshake_seconds", gauge, "UNIX time of the last handshake with a peer, 0 when there was none.",
			func(p *Peer, w *writer) {
				at := 0.0
				if !p.LastHandshake.IsZero() {
					at = float64(p.LastHandshake.UnixNano()) / 1e9
				}
				w.float(at, p.PublicKey)
			}),
		network("router_peer_transmit_packets_total", "WireGuard messages that left for a peer.",
			func(n *PeerNetwork) uint64 { return n.TxPackets }),
		network("router_peer_receive_packets_total", "Transport messages of a peer that were verified and are no replays.",
			func(n *PeerNetwork) uint64 { return n.RxAuthentic }),
		network("router_peer_transmit_repeated_packets_total", "WireGuard messages that were sent a second time, over another path, while the one in use was in doubt.",
			func(n *PeerNetwork) uint64 { return n.TxAgain }),
		network("router_peer_roams_total", "Moves of a peer to another address, the first included.",
			func(n *PeerNetwork) uint64 { return n.Roams }),
		network("router_peer_sources_released_total", "Sticky local addresses that were let go because they are not good any more.",
			func(n *PeerNetwork) uint64 { return n.SourcesReleased }),
		peer("router_peer_transmit_dropped_packets_total", counter, "WireGuard messages to a peer that did not leave: no_address, closed (no socket of the family), refused (by the kernel). All peers together are the transmit and socket_transmit stages of router_dropped_packets_total, which count removed peers, peers without samples and what is sent to nobody known too: add up those, not these.",
			func(p *Peer, w *writer) {
				if p.Network != nil {
					for _, c := range p.Network.Dropped {
						w.count(c.N, p.PublicKey, c.Name)
					}
				}
			}, "reason"),
		path("router_peer_path_info", gauge, "Always 1. How a peer is reached: path is direct or relay, family that of the outer packets. Absent while path discovery has chosen nothing.",
			func(p *PeerPath, key string, w *writer) {
				if p.Kind != "" {
					w.float(1, key, p.Kind, p.Family, p.Relay)
				}
			}, "path", "family", "relay"),
		path("router_peer_path_latency_seconds", gauge, "Smoothed round trip over the path to a peer. Absent when none was measured.",
			func(p *PeerPath, key string, w *writer) {
				if p.Latency > 0 {
					w.float(p.Latency.Seconds(), key)
				}
			}),
		path("router_peer_path_loss_ratio", gauge, "Share of the last probes of the path to a peer that were lost, 0 to 1. Absent while path discovery has chosen nothing.",
			func(p *PeerPath, key string, w *writer) {
				if p.Kind != "" {
					w.float(p.Loss, key)
				}
			}),
		path("router_peer_path_switches_total", counter, "Times that a peer was given another path.",
			func(p *PeerPath, key string, w *writer) { w.count(p.Switches, key) }),
	}
}

// path is a family of peers about which path discovery knows something.
func path(name string, k kind, help string, sample func(p *PeerPath, key string, w *writer), labels ...string) family {
	return family{name: name, kind: k, help: help, labels: append([]string{"public_key"}, labels...), perPeer: true,
		samples: func(s *Snapshot, w *writer) {
			for i := range s.Peers {
				if p := &s.Peers[i]; p.Path != nil {
					sample(p.Path, p.PublicKey, w)
				}
			}
		}}
}

// each adds a sample for each of cs, whose names are the values of the label.
func (w *writer) each(cs []Count) {
	for _, c := range cs {
		w.count(c.N, word(c.Name))
	}
}

// word is a name as values of labels are written here.
func word(s string) string {
	if strings.ContainsAny(s, "- ") {
		s = strings.NewReplacer("-", "_", " ", "_").Replace(s)
	}
	return s
}
