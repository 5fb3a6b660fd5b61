// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package check says whether packets can go past the kernel's sockets on an
// interface of this host, by AF_XDP, how, and what is in the way.
//
//	r, err := check.Run(&check.Options{Interface: "eth0"})
//	fmt.Println(r.Verdict, r.Because)
//
// A [Report] has what was found, each with a [Level] and, where something can be
// done, a remedy in words; and a [Verdict]: what the router would do.
//
// # Looking and trying
//
// Without Options.Try nothing is touched: the kernel is asked for its version, the
// privileges of this process, the interface, its driver, queues, offloads and what
// the driver says of its XDP (Linux 6.3 and later). A driver may still refuse.
//
// With it, the program of package redirect is attached for a moment, native, else
// generic, redirecting nothing, and sockets are opened on queue 0. All of it is taken
// away again. A physical device may reset its queues or its link when a native
// program comes and goes, which takes seconds with some drivers; all its traffic
// waits. Nothing is attached where Run has found what stops XDP anyway.
//
// # Generic mode
//
// On virtual devices, generic mode sees datagrams that the sender has not cut yet, and
// nothing in a frame tells: several would be read as one. So the router does not use
// it there. On others it costs receive offload: the kernel does without while a
// generic program is attached.
//
// # Privilege and platforms
//
// Looking needs no privilege; without any, the report says which the router lacks.
// Everything is asked in the network namespace of the calling thread, and of this
// process: a router that is started otherwise may have other privileges and limits.
//
// Linux. Elsewhere [Run] returns an error that wraps [errors.ErrUnsupported].
package check
