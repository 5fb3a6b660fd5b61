// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// BenchmarkUDPPort sends datagrams between two hosts without endpoints of the
// stack, together calls of SendDatagrams at a time, to compare with BenchmarkUDP.
// An operation is a datagram.
func BenchmarkUDPPort(b *testing.B) {
	for _, size := range []int{200, 1200} {
		for _, together := range []int{1, 64} {
			b.Run(fmt.Sprintf("size-%d/together-%d", size, together), func(b *testing.B) {
				x, y := netstacktest.Pair(b, nil, nil)
				var got atomic.Int64
				p, err := y.Net().OpenUDPPort(netip.AddrPortFrom(netstacktest.B4, 7), func(g *netstack.Datagrams) {
					got.Add(int64(len(g.Payloads)))
				})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				g := &netstack.Datagrams{Source: netip.AddrPortFrom(netstacktest.A4, 8), Destination: p.LocalAddr(), Payloads: sizes(together, size, size)}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for left := b.N; left > 0; left -= len(g.Payloads) {
					g.Payloads = g.Payloads[:min(left, len(g.Payloads))]
					if _, err := x.Net().SendDatagrams(g); err != nil {
						b.Fatal(err)
					}
				}
				for got.Load() < int64(b.N) { // what waits in the ring counts, too
					runtime.Gosched()
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
				var reads, packets uint64
				for _, q := range x.Stats().Queues {
					reads += q.Reads
					packets += q.Packets
				}
				b.ReportMetric(float64(packets)/float64(max(reads, 1)), "packets/read")
			})
		}
	}
}
