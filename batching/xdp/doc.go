// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package xdp is the contract of package batching over AF_XDP sockets: an underlay
// beside the kernel's UDP sockets. Package peers will use it like a
// batching.Conn.
//
// The room is empty so far.
//
// Memory: frames live in one UMEM per socket and are borrowed for the duration of
// a call. Concurrency: each ring has one producer and one consumer.
package xdp
