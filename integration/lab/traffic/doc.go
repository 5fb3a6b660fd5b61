// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package traffic sends real traffic between hosts of the lab and checks what
// arrives: TCP whose every byte is compared, UDP whose every packet is
// accounted for, ping and iperf3. [RateMeter] and [Spokes], many peers of one
// WireGuard program, send at a rate and say what arrived; [Search] finds the
// highest that does. A [Speaker] is a peer that sends any bytes as a packet, and
// [Probe] says what ICMP error a packet gets.
//
// The sockets are in the hosts, the goroutines in this process. Functions
// return errors and never end a test themselves, so that they can run on any
// goroutine.
package traffic
