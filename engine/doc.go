// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package engine is one running tunnel router, and the library entry point:
// [New] builds the rooms below it from a [config.Config] (a host side, the
// WireGuard device, the Bind of package peers, the control socket, and, if
// asked for, addresses, routes and DNS of the host), [Engine.Run] serves until
// the end, [Engine.Reload] applies a changed configuration to what runs.
//
// The command line is a thin caller of this package. A Go program embeds a
// router the same way:
//
//	cfg, err := config.Load("wg0.conf")
//	…
//	e, err := engine.New(cfg, &engine.Options{Logger: logger})
//	…
//	err = e.Run(ctx)
//
// With config.ModeNetstack it needs no privilege, and [Engine.Net] dials and
// listens inside the tunnel.
//
// # Lifecycle
//
// New returns a router that carries traffic already, or an error after it has
// taken back all it had done. Run adds what serves a long life: the control
// socket answers, endpoint names are resolved again, sticky sources follow the
// routes. Close, or the end of Run, takes back everything, in reverse order.
//
// # Concurrency and memory
//
// All methods may be called concurrently. Changes (Reload, a set over the
// control socket) are applied one after another under one mutex, which the
// packet path never takes. The engine touches no packet bytes.
package engine
