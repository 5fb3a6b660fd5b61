// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package integration tests the router as a program against the Linux kernel,
// other WireGuard implementations and the tools that people use. It has no code
// but tests; package lab builds the networks they run in, and command bench
// measures there.
//
// It is a module of its own, so that the programs it compares with are no
// dependencies of the router. The tests need root, TUN and nftables; without,
// they are skipped, or fail when ROUTER_TEST_REQUIRE=1.
//
// ROUTER_LAB_SUBJECT runs the tests that every implementation should pass with
// another one in the router's place ("upstream", "debian", "fork"): when a test
// fails, that tells whether the router or the laboratory is at fault.
package integration
