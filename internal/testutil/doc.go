// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package testutil holds what the tests of several packages share: network
// namespaces, leak checks, a logger that writes to the test, bounded waits and
// small packet builders. Only tests import it.
//
// # Privilege
//
// A test that needs root calls [NeedNetNS] first, one that needs a program
// calls [NeedTool]. Without the privilege or the program the test is skipped;
// with the environment variable ROUTER_TEST_REQUIRE=1 it fails instead, so that
// a machine that is meant to run everything cannot silently run less.
//
// # Namespaces
//
// [NewNS] makes an anonymous network namespace that lives as long as the test
// and has its loopback up. [NS.Do] and [NS.Run] run a function inside it on the
// caller's goroutine, locked to its thread. Sockets and TUN devices opened
// there stay in the namespace; goroutines started there do not, they run in the
// namespace of the process. A thread that could not be brought back is never
// unlocked, so that it ends with its goroutine and no other goroutine ever runs
// in a wrong namespace.
//
// # Concurrency
//
// An [NS] and a logger may be used by many goroutines. [LeakCheck] looks at the
// whole process, so tests that use it must not run in parallel with others.
package testutil
