// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package xdp is the contract of package batching over AF_XDP sockets: an underlay
// beside the kernel's UDP sockets. Package peers will use it like a
// batching.Conn.
//
// Its parts are rooms of their own, and this one, which joins them, is empty so far:
// xsk is one AF_XDP socket, redirect the program that gives it the packets of one UDP
// port, frame the headers of what it sends and receives, nexthop where the kernel would
// send it.
package xdp
