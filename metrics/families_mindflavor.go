// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

import "strings"

// mindFlavorFamilies have the names, labels and meaning of those of
// github.com/MindFlavor/prometheus_wireguard_exporter with a file of names (its option
// -n). They are on demand, as they repeat what mdlayher's names say.
func mindFlavorFamilies() []family {
	of := func(name string, k kind, help string, value func(p *Peer) float64) family {
		return family{name: name, kind: k, help: help, device: "interface", labels: []string{"public_key", "allowed_ips", "friendly_name"},
			perPeer: true, samples: func(s *Snapshot, w *writer) {
				for i := range s.Peers {
					p := &s.Peers[i]
					w.float(value(p), p.PublicKey, joinedIPs(p), p.Name)
				}
			}}
	}
	return []family{
		of("wireguard_sent_bytes_total", counter, "As wireguard_peer_transmit_bytes_total.", func(p *Peer) float64 { return float64(p.TxBytes) }),
		of("wireguard_received_bytes_total", counter, "As wireguard_peer_receive_bytes_total.", func(p *Peer) float64 { return float64(p.RxBytes) }),
		of("wireguard_latest_handshake_seconds", gauge, "As wireguard_peer_last_handshake_seconds, in whole seconds.",
			func(p *Peer) float64 {
				if p.LastHandshake.IsZero() {
					return 0
				}
				return float64(p.LastHandshake.Unix())
			}),
	}
}

// joinedIPs writes ranges as wg show dump does.
func joinedIPs(p *Peer) string {
	if len(p.AllowedIPs) == 0 {
		return "(none)"
	}
	texts := make([]string, len(p.AllowedIPs))
	for i, r := range p.AllowedIPs {
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}
