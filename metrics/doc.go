// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package metrics shows what a router does: Prometheus collectors, pollers of
// kernel statistics, health, the status page. It will read the other rooms
// through small interfaces of its own; package engine will wire them.
//
// The room is empty so far; router status and the control socket show what there
// is.
//
// Memory: it never sees packet bytes. Concurrency: a scrape takes snapshots of
// atomic counters and no lock of the packet path.
package metrics
