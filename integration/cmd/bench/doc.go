// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Command bench measures the router and other WireGuard programs side by side,
// between two network namespaces over a veth pair (MTU 1500, tunnel MTU 1420),
// both ends of the tunnel the same program:
//
//	go run ./cmd/bench                      # everything, about 15 minutes
//	go run ./cmd/bench -impl router,fork -only tcp -runs 5
//
// The runs are interleaved: one of each program, then the next of each, so that
// a slow phase of the machine falls on all. Every run gets fresh processes and
// namespaces. The table has the median of the runs, the least and the most, and
// the ratio of the median to that of the fork.
//
//	tcp      iperf3, one TCP stream, received Gbit/s
//	udp      UDP with 200 bytes of payload from a paced sender: the highest rate
//	         with less than 1 % loss, bisected in trials of one second
//	latency  UDP request and response of 64 bytes on an idle tunnel: round trip
//	         time, median and 99th percentile
//
// The sender of udp sends a burst every 0.5 ms with sendmmsg, without
// segmentation offload. A trial in which it could not keep its pace does not
// count; a rate that was found with the sender at its limit is marked with *.
//
// It needs root, the go tool and iperf3.
package main
