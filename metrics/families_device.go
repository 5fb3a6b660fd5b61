// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

import "strconv"

// deviceFamilies are those of the router as a whole.
func deviceFamilies() []family {
	handshakes := func(name, help string, samples func(h *Handshakes, w *writer), labels ...string) family {
		return family{name: name, kind: counter, help: help, labels: labels, samples: func(s *Snapshot, w *writer) {
			if s.Handshakes != nil {
				samples(s.Handshakes, w)
			}
		}}
	}
	return []family{
		{name: "wireguard_device_info", kind: gauge, help: "Always 1. The public key of the router.", labels: []string{"public_key"},
			samples: func(s *Snapshot, w *writer) { w.float(1, s.PublicKey) }},
		{name: "router_listen_port", kind: gauge, help: "UDP port in use, 0 while the router is down.",
			samples: func(s *Snapshot, w *writer) { w.count(uint64(s.ListenPort)) }},
		{name: "router_peers", kind: gauge, help: "Peers that the router has, those without samples of their own included.",
			samples: func(s *Snapshot, w *writer) { w.number(len(s.Peers)) }},
		handshakes("router_handshake_initiations_total", "Handshake initiations that were sent: the first of a series, or a retry.",
			func(h *Handshakes, w *writer) {
				w.count(h.InitiationsFirst, "first")
				w.count(h.InitiationsRetry, "retry")
			}, "attempt"),
		handshakes("router_handshake_responses_total", "Handshake responses that were sent.",
			func(h *Handshakes, w *writer) { w.count(h.Responses) }),
		handshakes("router_handshake_cookie_replies_total", "Cookie replies that were sent, which a router does under load.",
			func(h *Handshakes, w *writer) { w.count(h.CookieReplies) }),
		handshakes("router_handshakes_completed_total", "Handshakes that came to an end, by the part of this router.",
			func(h *Handshakes, w *writer) {
				w.count(h.CompletedInitiator, "initiator")
				w.count(h.CompletedResponder, "responder")
			}, "role"),
	}
}

func index(i int) string { return strconv.Itoa(i) }
