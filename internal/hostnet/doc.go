// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package hostnet configures the host around a tunnel interface: addresses,
// MTU, DNS, routes, policy rules, leak protection and hooks. It does in Go what
// wg-quick(8) does in shell and leaves the same state behind, so that one can
// take the place of the other.
//
// The engine calls [Up] once the interface exists and WireGuard is configured,
// [State.Update] for a reload and [State.Down] at the end. The connection layer
// uses [WatchRoutes] and [RouteInterface] to notice that a path has changed.
//
// It also looks, and changes nothing by that: a [LinkWatch] has the counters that the
// kernel keeps of the tunnel's interface ([LinkStatistics]), for as long as the
// interface lives and whatever it is called, and [Advise] names the conditions of the
// host that hurt a tunnel, each with a remedy.
//
// # What Up does, in this order
//
//  1. leftovers of a killed run with the same interface name go
//  2. PreUp hooks
//  3. addresses, then the MTU, then the link comes up
//  4. DNS servers through resolvconf
//  5. one route per allowed prefix, longest first, unless the interface's own
//     networks cover it already
//  6. for a default route with Table auto: the route goes to a table of its own,
//     whose number is also the mark of the tunnel's own packets, and two rules
//     lead there whatever is not marked and has no better route
//  7. PostUp hooks
//
// A default route comes with two nftables rules per family (table
// "wg-quick-INTERFACE"): packets for the tunnel's address that arrive through
// another interface are dropped, and the mark of the tunnel's UDP packets is
// kept with their connection, so that strict reverse path filters accept the
// answers. Both are installed before the rules that lead packets to the tunnel.
//
// # Taking back
//
// Everything done is written down as it is done. A failed Up takes it back
// before it returns; Down does the same and does not stop at errors. The one
// thing that stays is net.ipv4.conf.all.src_valid_mark=1, as with wg-quick.
// What was there before Up is neither touched nor taken back.
//
// # Namespaces and privileges
//
// Up works in the network namespace of the calling thread, and Update and Down
// return to that one from wherever they are called. CAP_NET_ADMIN is needed;
// WatchRoutes, RouteInterface, LinkWatch and Advise need nothing. A LinkWatch stays
// with the namespace of the thread that made it; Advise looks at that of its caller.
//
// [Furnish] is for a namespace that nothing but the tunnel is in, and that ends with
// it: packets of the tunnel are not in there, so a default route is one like any
// other.
//
// # Concurrency and memory
//
// A State may be used by several goroutines, and so may a LinkWatch; Update and Down
// wait for each other. Up starts no goroutine that outlives it, except one for each
// hook that leaves a program running in the background: it copies that program's output
// and ends with the program or with Down. Options are copied.
package hostnet
