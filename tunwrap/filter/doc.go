// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package filter decides which IP packets may pass between the host and the peers.
//
// It is pure: no I/O, no goroutine, no timer. A [Filter] holds rules, of which the
// first that matches decides, and the flows that they let through, of which both
// directions pass. With no rule everything passes; with any rule, what none of them
// names is denied, and so is what cannot be classified.
//
//	f, err := filter.New(rules, nil)
//	var b filter.Batch // one per goroutine
//	b.Reset()          // for each batch of packets
//	if problem := p.Parse(pkt); problem == inner.OK && f.Verdict(&b, &p, pkt, from, to) == filter.Pass {
//
// # Parties
//
// The caller knows who is at both ends of a packet: the host, or the peer whose
// AllowedIPs hold the address and whose session encrypted it. A flow belongs to two
// [Party] numbers as much as to its addresses and ports: the same packet from
// anybody else is another flow, which the rules have to allow by itself, and no
// forged RST of theirs touches it. A number must not be given to another peer while
// flows of the first may live.
//
// # Flows
//
// A packet that a rule allows makes a flow of protocol, addresses and ports, or of
// the echo identifier, unless it is the answer to an echo; of protocols without
// ports, of the two addresses. Any TCP packet may make one, not only a SYN: the rules
// judge it all the same. A SYN inside of a flow is judged anew, so that the end that
// was only allowed to answer cannot begin a connection; nor can it ask by echo.
//
// A flow ends when it has been idle: TCP after a minute without an answer, two
// hours with one and a minute after FIN or RST; UDP after one minute and three;
// echo after half a minute; others after ten minutes.
//
// While there is no rule no flow is seen. When SetRules brings the first, flows run
// already; so for a minute a packet of no flow that the rules deny passes if they would
// allow one in the other direction, unless it is a SYN or asks for an echo. A Filter that New has given rules
// has no such minute. Rules that replace others lose nothing that both allow.
//
// ICMP errors (destination unreachable, packet too big, time exceeded, parameter
// problem) pass when they quote a packet that their receiver sent in a flow with their
// sender; otherwise the rules judge them. Neither they nor other ICMP messages but
// echo make a flow: each is judged by itself.
//
// # Fragments
//
// The first fragment is judged like a packet, if it has the whole transport
// header. The others pass when it has passed, in the order of their offsets: an
// overlap ends the datagram (RFC 1858, RFC 3128, RFC 5722). So does a fragment that
// arrives before its predecessors, which costs the datagrams of paths that reorder
// fragments. A fragment before the first is denied.
//
// # Memory
//
// Flows are bounded by [Options.MaxFlows], fragmented datagrams by 1,024. When there
// is no room, expired flows go first (all of them are looked for ten times a
// second); then a party that has its share of the table (an equal part for each
// party in it) loses its own longest idle flow without an answer, or gets no new
// one; a party below its share takes the place from the one with the most.
// So nobody's flood ends the flows of others. A packet without a place for its flow passes if
// its rule says so, but its answers need a rule of their own; it is counted.
//
// # Limits
//
// The addresses are those of the header: source routes (IPv4 options, routing headers
// of IPv6) are not looked into; hosts ignore them by default (RFC 5095). Sequence
// numbers of TCP are not tracked, checksums not verified.
//
// # Concurrency
//
// A Filter is safe for any number of goroutines, a [Batch] belongs to one. Neither
// keeps or changes the bytes of a packet.
package filter
