// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package frame writes and reads the Ethernet frames that carry one UDP
// datagram each, which is what an AF_XDP socket sends and receives in the place
// of the kernel:
//
//	Ethernet 14 | 802.1Q 4? | IPv4 20 or IPv6 40 | UDP 8 | Geneve 8? | payload
//
// A [Template] holds everything that does not change for a destination. For
// each datagram it copies the headers and fills in lengths, identification and
// checksums. The frames are those that the kernel's UDP socket would have sent
// for the same datagram, but for the identification and the flow label, which
// the kernel draws at random.
//
// A [Datagram] is the way back. Parse accepts only what the XDP program lets
// through (UDP, whole, no IPv4 options, no IPv6 extension headers, at most one
// VLAN tag), and checks it again: the program and the socket may be of
// different minds for a moment, and the bytes come from the network. It makes
// the checks of the kernel's IP and UDP input that such frames go past: lengths,
// the IPv4 header checksum, sources that cannot be. It does not verify the UDP
// checksum: a veth device leaves only the sum of the pseudo header in it
// (CHECKSUM_PARTIAL), and what the datagrams carry is authenticated. A caller
// that knows better has [Datagram.ChecksumValid].
//
// Frames are not padded to the Ethernet minimum of 60 bytes: the device does
// that, as it does for the kernel. Received padding is cut off.
//
// Everything here is pure and safe for concurrent use as long as the frames and
// Datagrams are the caller's alone; no function retains the bytes it is given,
// and none on the packet path allocates.
package frame
