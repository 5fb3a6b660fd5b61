// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package metrics shows what a router does to Prometheus: counters, gauges and
// histograms in the text and OpenMetrics formats.
//
// It knows no other room. A [Source] hands it a [Snapshot], plain numbers that were
// read from the rooms' counters, and a [Registry] writes them under names that stay:
// those of the widely used WireGuard exporters (wireguard_…), and router_… for what
// only this router has. What is not known is absent, not zero. docs/METRICS.md lists
// all names and is made from the same table.
//
// # Concurrency
//
// All methods may be called by any goroutine. A scrape asks the Source once, and
// takes no lock while it writes, so that a slow client holds up nobody. There are no
// globals and no goroutines.
//
// # Memory
//
// It never sees packet bytes. A scrape is written one family at a time; its memory is
// the Snapshot, and the samples of the largest family.
package metrics
