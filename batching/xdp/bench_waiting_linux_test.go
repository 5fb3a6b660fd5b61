// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
)

// waiting is how many packets of BenchmarkWaiting are there when the clock starts.
const waiting = 2048

// BenchmarkWaiting reads packets that arrived before, each by itself: what the reader
// spends, the kernel's share of it included. A loop is one packet.
func BenchmarkWaiting(b *testing.B) {
	for _, size := range sizes {
		for _, way := range []string{"kernel", "native", "generic"} {
			b.Run(fmt.Sprintf("%d/%s", size, way), func(b *testing.B) { benchWaiting(b, size, way) })
		}
	}
}

func benchWaiting(b *testing.B, size int, way string) {
	l := newHosts(b, 1)
	var c reader
	if way == "kernel" {
		l.beside, l.peer = l.listen(b, l.near), l.listen(b, l.far)
		c = l.beside[true]
	} else {
		mode := map[string]redirect.Mode{"native": redirect.ModeNative, "generic": redirect.ModeGeneric}[way]
		l.open(b, &xdp.Options{Attach: mode, RxFrames: 4096})
		c = l.under.Conns()[0]
	}
	from := l.peer[true]
	must(b, from.Reconfigure(&batching.Options{DisableGSO: true}))
	bufs := make([][]byte, batching.MaxBatch)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	slab, pkts := make([]byte, 131070), make([]batching.Packet, batching.MaxBatch)
	n := 0
	var took time.Duration
	for n < b.N {
		for range waiting / len(bufs) {
			if _, err := from.WriteBatch(bufs, 0, destination(near4), 0); err != nil {
				b.Fatal(err)
			}
		}
		time.Sleep(time.Millisecond) // for what the kernel does later
		must(b, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		start := time.Now()
		for got := 0; got < waiting; { // a device may have dropped some
			k, err := c.ReadBatch(slab, pkts)
			if err != nil {
				break
			}
			now := time.Now()
			took += now.Sub(start)
			start = now
			got += k
			n += k
		}
	}
	b.ReportMetric(float64(took)/float64(n), "ns/packet")
}
