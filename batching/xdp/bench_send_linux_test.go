// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"golang.org/x/sys/unix"
)

// BenchmarkSend sends to a socket that nobody reads: through the kernel's socket,
// with GSO and without, and past the kernel. A loop is one packet.
func BenchmarkSend(b *testing.B) {
	for _, size := range sizes {
		for _, way := range []string{"gso", "single", "xdp"} {
			b.Run(fmt.Sprintf("%d/%s", size, way), func(b *testing.B) { benchSend(b, size, way) })
		}
	}
}

func benchSend(b *testing.B, size int, way string) {
	l := newLab(b, 1, &xdp.Options{Attach: redirect.ModeNative})
	var c xdp.Kernel = l.under.Conns()[0]
	if way != "xdp" {
		must(b, l.beside[true].Reconfigure(&batching.Options{DisableGSO: way == "single"}))
		c = l.beside[true]
	}
	bufs := make([][]byte, batching.MaxBatch)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	dst := destination(far4)
	cpu := usage(unix.RUSAGE_SELF)
	before := l.under.Conns()[0].Stats().Tx.Packets
	b.ResetTimer()
	n := 0
	for n < b.N {
		k, err := c.WriteBatch(bufs, 0, dst, 0)
		if err != nil {
			b.Fatal(err)
		}
		n += k
	}
	b.StopTimer()
	b.ReportMetric(float64(usage(unix.RUSAGE_SELF)-cpu)/float64(n), "cpu-ns")
	b.ReportMetric(float64(l.under.Conns()[0].Stats().Tx.Packets-before)/float64(n), "past")
}
