// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Command plainforward is what the netstack mode of the router is measured
// against: golang.zx2c4.com/wireguard with its own netstack, and the plainest
// forwarder that works on top of it.
//
//	plainforward [-tcp LISTEN=TARGET] [-tcp-in PORT=TARGET] [-udp LISTEN=TARGET] FILE
//
// FILE has [Interface] and [Peer] as wg-quick has them. -tcp listens on the host
// and connects through the tunnel, -tcp-in the other way round, -udp listens on
// the host and has a socket in the tunnel for each client. Each may be there
// several times. It needs no privilege.
//
// It models wireproxy (github.com/windtf/wireproxy, as it was in 2026-09), which
// is the same module, the same calls and the same loops: io.Copy in each
// direction and both connections closed when either ends, one datagram for each
// call, a buffer of 64 KiB for each UDP client. It has no other proxies, no
// names in targets and no limits. gVisor is of the version that the router has,
// which is newer than wireproxy's.
package main
