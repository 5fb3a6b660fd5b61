// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package capture copies packets out of the packet path and writes them as pcapng,
// for Wireshark and its kin.
//
// A [Tap] is one capture. The packet path hands it packets with [Tap.Packet], which
// filters them and copies them into a ring of fixed memory; whoever wants them calls
// [Tap.Run], which empties the ring into a writer. Package engine connects the two with
// the hub (packets inside the tunnel) and with peers (datagrams outside).
//
// # What is written
//
// One section with an interface for each side that is captured. Inside the tunnel a
// packet is what it is. Outside, only what UDP carries is known here, so that IP and UDP
// headers are put in front, with the addresses and ports that the datagram had, and with
// right lengths and checksums; identification, TTL and ToS are made up. Both sides are
// LINKTYPE_RAW. Each packet says its direction (epb_flags) and, in a comment, its peer.
// The counts, and what was lost, are in the interface statistics at the end. No key is
// ever written.
//
// # What it costs
//
// A packet that there is no room for is dropped and counted. [Tap.Packet] never waits,
// takes no lock and does not allocate, so a reader that is slow, or stands still, costs
// the packet path nothing but packets of the capture.
//
// # Concurrency
//
// Any number of goroutines may call Packet; one calls Run, once. A Tap that is not
// referred to any more needs no Close.
package capture
