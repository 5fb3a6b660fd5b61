// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

// Batches of 64 frames over a veth pair in native mode, in copy mode, by one
// goroutine: the kernel does nearly all of both directions within the sender's system
// call, so write-ns/packet is mostly the kernel's, read-ns/packet ours.
func BenchmarkVeth(b *testing.B) {
	for _, size := range []int{64, 200, 1400} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := newLab(b, link.XDPDriverMode, nil, nil)
			deadline(b, l.tx, l.rx)
			const batch = 64
			bufs := make([][]byte, batch)
			for i := range bufs {
				bufs[i] = packet(i, size)
			}
			frames := make([]xsk.Frame, batch)
			var writing, reading time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += batch {
				t0 := time.Now()
				if n, err := l.tx.BatchWrite(bufs, 0); n != batch || err != nil {
					b.Fatal(n, err)
				}
				t1 := time.Now()
				for missing := batch; missing > 0; {
					n, err := l.rx.BatchRead(frames)
					if err != nil || l.rx.Release(frames[:n]) != nil {
						b.Fatal(err, l.tx.Stats(), l.rx.Stats())
					}
					missing -= n
				}
				writing += t1.Sub(t0)
				reading += time.Since(t1)
			}
			n := float64((b.N + batch - 1) / batch * batch)
			b.ReportMetric(float64(writing.Nanoseconds())/n, "write-ns/packet")
			b.ReportMetric(float64(reading.Nanoseconds())/n, "read-ns/packet")
		})
	}
}
