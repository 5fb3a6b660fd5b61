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
		{name: "router_receive_packets_total", kind: counter, help: "WireGuard messages that were handed to the WireGuard device.",
			samples: func(s *Snapshot, w *writer) {
				if s.Receive != nil {
					w.count(s.Receive.Packets)
				}
			}},
		{name: "router_receive_errors_total", kind: counter, help: "Reads of a socket that failed.",
			samples: func(s *Snapshot, w *writer) {
				if s.Receive != nil {
					w.count(s.Receive.Errors)
				}
			}},
		{name: "router_dropped_packets_total", kind: counter, help: "Packets that went no further, by stage and reason. What could not be sent for want of an address or a socket is in router_peer_transmit_dropped_packets_total.",
			labels: []string{"stage", "reason"}, samples: drops},
	}
}

// drops are the drops of all stages. No packet is in two of them.
func drops(s *Snapshot, w *writer) {
	stage := func(name string, cs []Count) {
		for _, c := range cs {
			w.count(c.N, name, word(c.Name))
		}
	}
	if s.Receive != nil {
		stage("receive", s.Receive.Dropped)
	}
	if s.Handshakes != nil {
		w.count(s.Handshakes.Replayed, "decrypt", "replay")
	}
	var rx, tx sums
	var overflow uint64
	for i := range s.Sockets {
		rx.add(s.Sockets[i].Receive.Dropped)
		if s.Sockets[i].Use != UseRelay { // the relay counts what its sockets did not take
			tx.add(s.Sockets[i].Transmit.Dropped)
		}
		overflow += s.Sockets[i].Receive.Overflow
	}
	if len(s.Sockets) > 0 {
		rx.add([]Count{{"overflow", overflow}})
	}
	stage("socket_receive", rx)
	stage("socket_transmit", tx)
	if s.TUN != nil {
		var read, write sums
		for i := range s.TUN.Queues {
			read.add(s.TUN.Queues[i].Read.Dropped)
			write.add(s.TUN.Queues[i].Write.Dropped)
		}
		stage("tun_read", read)
		stage("tun_write", write)
	}
	if s.Hub != nil {
		stage("hub", s.Hub.Dropped)
	}
	if s.Filter != nil {
		stage("filter", s.Filter.Denied)
	}
	if s.Relay != nil {
		stage("relay", s.Relay.Dropped)
	}
	if n := s.Netstack; n != nil {
		var out sums
		for i := range n.Queues {
			out.add(n.Queues[i].Dropped)
		}
		stage("netstack_out", out)
		stage("netstack_in", n.InDropped)
		stage("netstack_udp", n.UDP.Dropped)
		stage("netstack_echo", n.EchoDropped)
	}
}

// sums adds up counts by name.
type sums []Count

func (s *sums) add(cs []Count) {
next:
	for _, c := range cs {
		for i := range *s {
			if (*s)[i].Name == c.Name {
				(*s)[i].N += c.N
				continue next
			}
		}
		*s = append(*s, c)
	}
}

func index(i int) string { return strconv.Itoa(i) }
