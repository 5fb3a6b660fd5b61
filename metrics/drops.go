// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// A Drop is a number of packets that went no further.
type Drop struct {
	Stage, Reason string // in lower case, with underscores
	Packets       uint64
}

// Drops lists what was dropped by stage and reason, those with no packets included. It
// is the one list of drops: no packet is in it twice, and whoever adds them up leaves
// none out.
func (s *Snapshot) Drops() []Drop {
	var out []Drop
	stage := func(name string, cs []Count) {
		for _, c := range cs {
			out = append(out, Drop{name, word(c.Name), c.N})
		}
	}
	if s.Link != nil {
		stage("tun_link", []Count{{"queue_full", s.Link.TxDropped}})
	}
	if s.TUN != nil {
		var read sums
		for i := range s.TUN.Queues {
			read.add(s.TUN.Queues[i].Read.Dropped)
		}
		stage("tun_read", read)
	}
	if n := s.Netstack; n != nil {
		var sent sums
		for i := range n.Queues {
			sent.add(n.Queues[i].Dropped)
		}
		stage("netstack_out", sent)
	}
	if s.Hub != nil {
		stage("hub", s.Hub.Dropped)
	}
	if s.Filter != nil {
		stage("filter", s.Filter.Denied)
	}
	if s.Transmit != nil {
		stage("transmit", s.Transmit.Dropped)
		stage("socket_transmit", s.Transmit.Refused)
	}
	if s.Receive != nil {
		stage("socket_receive", s.Receive.SocketDropped)
		stage("receive", s.Receive.Dropped)
	}
	if s.WireGuard != nil {
		stage("handshake", s.WireGuard.HandshakeDropped)
		stage("decrypt", s.WireGuard.Dropped)
	}
	if s.Handshakes != nil {
		stage("decrypt", []Count{{"replay", s.Handshakes.Replayed}})
	}
	if n := s.Netstack; n != nil {
		stage("netstack_in", n.InDropped)
		stage("netstack_udp", n.UDP.Dropped)
		stage("netstack_echo", n.EchoDropped)
	}
	if s.TUN != nil {
		var write sums
		for i := range s.TUN.Queues {
			write.add(s.TUN.Queues[i].Write.Dropped)
		}
		stage("tun_write", write)
	}
	if s.Relay != nil {
		var received sums
		for i := range s.Sockets {
			if o := &s.Sockets[i]; o.Use == UseRelay {
				received.add(o.Receive.Dropped)
				received.add([]Count{{"overflow", o.Receive.Overflow}})
			}
		}
		stage("relay_receive", received)
		stage("relay", s.Relay.Dropped)
	}
	return out
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
