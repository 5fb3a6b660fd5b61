// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package resolver finds the addresses of host names by asking DNS servers
// through a function that dials. It is the stub resolver of a host inside a
// tunnel: nothing but that function reaches the network, and neither the
// system's resolver nor its files (hosts, resolv.conf) are looked at, which
// would tell others what goes through the tunnel.
//
// Most callers want [Resolver.LookupNetIP], whose addresses are in the order in
// which to try them.
//
// # Words
//
// A name is what the caller asks for; the candidates are the absolute names it
// may stand for, by the search list. A family is IPv4 or IPv6. A try asks one
// server for the addresses of one candidate, of all families at once.
//
// # Servers
//
// A try sends the queries for A and AAAA over one UDP socket with random ports
// and identifiers (RFC 5452), announcing 1232 bytes by EDNS0 (RFC 6891), and
// takes only answers that repeat identifier and question. A truncated answer is
// fetched over TCP (RFC 7766). A try ends after 5 s; then comes the next server,
// in two rounds, beginning with the one that answered last. What a server says
// about a name that it can answer for, even that there is none, is believed;
// after a failure (SERVFAIL, REFUSED, …) the next one is asked.
//
// Once one family has addresses, the other has 50 ms left (RFC 8305, section 3).
//
// # Names that are not asked for
//
// IP addresses are their own answer. localhost and what is under it is the host
// itself (RFC 6761, section 6.3), invalid and onion have no names (RFC 6761,
// section 6.4, RFC 7686, section 2).
//
// # Concurrency and memory
//
// All methods may be called by any number of goroutines. Lookups of one name at
// the same time share one query. No goroutine outlives the calls that wait for
// it. The cache holds up to 1024 names with up to 64 addresses each.
package resolver
