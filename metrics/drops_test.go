// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/metrics"
)

// A drop is in the list once, and the list is what a scrape shows.
func TestDrops(t *testing.T) {
	s := sample(t)
	seen := make(map[string]bool)
	scraped := text(t, s)
	for _, d := range s.Drops() {
		at := fmt.Sprintf(`router_dropped_packets_total{device="wg0",stage=%q,reason=%q} `, d.Stage, d.Reason)
		if seen[at] {
			t.Errorf("%s is there twice", at)
		}
		seen[at] = true
		if !strings.Contains(scraped, fmt.Sprintf("%s%d\n", at, d.Packets)) {
			t.Errorf("%s%d is not in the scrape", at, d.Packets)
		}
	}
	if n := strings.Count(scraped, "\nrouter_dropped_packets_total{"); n != len(seen) || n == 0 {
		t.Errorf("%d samples, %d drops", n, len(seen))
	}
	if drops := new(metrics.Snapshot).Drops(); len(drops) > 0 {
		t.Errorf("a router without anything has dropped %v", drops)
	}
}

// What queues and relay sockets have dropped is added up, and what peers' sockets have
// is not counted beside the totals that keep it.
func TestDropsAddUp(t *testing.T) {
	s := &metrics.Snapshot{
		TUN: &metrics.TUN{Queues: []metrics.TUNQueue{
			{Read: metrics.TUNRead{Dropped: []metrics.Count{{Name: "malformed", N: 1}}}},
			{Read: metrics.TUNRead{Dropped: []metrics.Count{{Name: "malformed", N: 2}}}},
		}},
		Receive: &metrics.Receive{SocketDropped: []metrics.Count{{Name: "overflow", N: 4}}},
		Relay:   &metrics.Relay{Dropped: []metrics.Count{{Name: "send", N: 8}}},
		Sockets: []metrics.Socket{
			{Use: metrics.UsePeers, Receive: metrics.SocketReceive{Overflow: 4}},
			{Use: metrics.UseRelay, Receive: metrics.SocketReceive{Overflow: 16}},
			{Use: metrics.UseRelay, Receive: metrics.SocketReceive{Overflow: 32}, Transmit: metrics.SocketTransmit{Dropped: []metrics.Count{{Name: "denied", N: 8}}}},
		},
	}
	var total uint64
	for _, d := range s.Drops() {
		total += d.Packets
	}
	if total != 3+4+8+48 {
		t.Errorf("%d in all of %v", total, s.Drops())
	}
}
