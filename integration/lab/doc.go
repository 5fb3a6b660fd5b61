// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package lab builds small networks of namespaces on one machine, runs the
// router and other WireGuard implementations in them and says what happened.
// The integration tests and the benchmark use it; it needs root.
//
// A [Host] is a network, mount and process namespace with an init process of
// its own. It has private copies of what the programs under test touch: /run
// (hence /var/run/wireguard), /etc/wireguard, /etc/resolv.conf, /etc/hosts,
// /proc and /sys; everything else is the machine's. When the host is closed, or
// the test process dies, the kernel ends every process in it, daemons included.
//
// A [Topology] says which hosts there are and how veth pairs connect them;
// [Topology.Build] makes them. An [Implementation] is a WireGuard program with
// the command line of wireguard-go; [StartDevice] runs one in a host and
// configures it through its control socket, the same way for all; the router with
// sections that only it knows runs from a file. [StartPair] runs tunnels that are no
// WireGuard too, [NewStar] a hub with peers around it.
//
// # Failures
//
// Functions that take a [T] end the test on failure. When a test fails, the
// output of every program it started and the state of its hosts are logged. A
// panic or a data race in the output of a program fails the test that started
// it, whatever else it checked.
//
// # Threads
//
// [Host.Run] runs a function on the caller's goroutine inside the network
// namespace only: sockets opened there stay there and may be used from anywhere
// afterwards. Programs are started from threads that are thrown away.
//
// # Waiting
//
// Nothing sleeps for a fixed time. [Wait] polls a condition with a deadline.
package lab
