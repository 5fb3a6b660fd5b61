// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/tunwrap"
)

// BenchmarkRead measures what it costs to take waiting packets out of a TUN
// queue: 400 UDP datagrams are put into it, then read by 128 at most. "plain" is
// the fork's own queue, "batched" the wrapper. One op is one packet.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{200, 1392} {
		b.Run(sizeName(size), func(b *testing.B) {
			b.Run("plain", func(b *testing.B) { benchmarkRead(b, size, true) })
			b.Run("batched", func(b *testing.B) { benchmarkRead(b, size, false) })
		})
	}
}

func sizeName(n int) string {
	if n == 200 {
		return "200B"
	}
	return "1420B"
}

func benchmarkRead(b *testing.B, size int, plain bool) {
	const burst = 400
	l := newLab(b, &tunwrap.Options{PlainReads: plain})
	c := l.listen(b, hostV4)
	dst := netip.AddrPortFrom(remoteV4, 9)
	payload := make([]byte, size-28)
	slab, packets := make([]byte, slabLen), make([]tun.ReadPacket, batchSize)
	b.ReportAllocs()
	var spent time.Duration
	reads, total := 0, 0
	for b.Loop() {
		if total%burst != 0 { // one op is one packet: only every burst-th does something
			total++
			continue
		}
		for range burst {
			if _, err := c.WriteToUDPAddrPort(payload, dst); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		for got := 0; got < burst; {
			n, err := l.dev.Read(slab, packets)
			if err != nil {
				b.Fatal(err)
			}
			got += n
			reads++
		}
		spent += time.Since(start)
		total++
	}
	bursts := float64((total + burst - 1) / burst)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(spent.Nanoseconds())/(bursts*burst), "ns/packet")
	b.ReportMetric(bursts*burst/spent.Seconds(), "packets/s")
	b.ReportMetric(bursts*burst/float64(reads), "packets/read")
}
