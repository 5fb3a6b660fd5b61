// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Command router runs a WireGuard-compatible tunnel router, and asks running
// ones: "router up wg0" does what "wg-quick up wg0" does with a userspace
// WireGuard in the foreground, "router wg0" takes the place of "wireguard-go
// wg0", "router status" that of "wg show". "router --help" lists the rest.
//
// It is a thin caller of packages config, engine and uapi: flags, environment,
// signals, exit codes and what is printed. A Go program that wants a router
// imports engine.
//
// # Exit codes
//
// 0 is success, 1 a failure while running, 2 wrong usage or a wrong
// configuration. "router exec" has the exit code of its command, or 125 when it fails
// itself. Errors are one or two lines that say what is wrong and what helps.
//
// # Environment
//
// The environment is read here, once, at the start (environment.go), and
// nowhere else in the project: WG_TUN_FD, WG_UAPI_FD, WG_PROCESS_FOREGROUND and
// LOG_LEVEL as wireguard-go knows them; NOTIFY_SOCKET and JOURNAL_STREAM as
// systemd sets them; NO_COLOR and TERM for "router top".
//
// # Goroutines
//
// The command's own goroutine waits for everything it starts before the program
// ends, apart from what reads the keys of "router top" where that cannot be told to give up.
// There is no packet memory here.
package main
