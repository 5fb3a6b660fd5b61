// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// BenchmarkForward sends bursts from one client to another over the loopback
// interface, on the same CPUs as the relay: two sends and two receives for each
// frame. An operation is one frame of a tunnel with an MTU of 1420; lost/op is the
// share that did not arrive.
func BenchmarkForward(b *testing.B) {
	for _, bb := range []struct {
		name, from, to string
		o              batching.Options
	}{
		{"ipv4", "127.0.0.1", "127.0.0.1", batching.Options{}},
		{"ipv6", "::1", "::1", batching.Options{}},
		{"mixed", "127.0.0.1", "::1", batching.Options{}},
		{"unsegmented", "127.0.0.1", "127.0.0.1", batching.Options{DisableGSO: true, DisableGRO: true}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := start(b, Options{Sockets: 1, Socket: bb.o}, identity(1).Public(), identity(2).Public())
			a, c := dial(b, 1, bb.from, bb.from, s), dial(b, 2, bb.to, bb.to, s)
			vni := connect(a, c)
			bufs := make([][]byte, batching.MaxBatch)
			for i := range bufs {
				bufs[i] = withHeader(b, vni, geneve.ProtocolWireGuard, false, make([]byte, 1452))
			}
			got := 0
			b.SetBytes(int64(len(bufs[0])))
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; {
				n := min(left, len(bufs))
				if _, err := a.conn.WriteBatch(bufs[:n], 0, a.relay, 0); err != nil {
					b.Fatal(err)
				}
				left -= n
				for n > 0 {
					_ = c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
					m, err := c.conn.ReadBatch(c.slab, c.pkts)
					if errors.Is(err, os.ErrDeadlineExceeded) {
						break // lost
					}
					if err != nil {
						b.Fatal(err)
					}
					n -= m
					got += m
				}
			}
			b.ReportMetric(float64(b.N-got)/float64(b.N), "lost/op")
		})
	}
}

// BenchmarkBatch is what a worker does with a full batch beside system calls: of
// one flow, and of four that interleave. An operation is one frame.
func BenchmarkBatch(b *testing.B) {
	for _, bb := range []struct {
		name  string
		other bool
	}{{"one flow", false}, {"four flows", true}} {
		b.Run(bb.name, func(b *testing.B) {
			w := newWorld(b, 3, TableOptions{})
			x, y, z := w.people[0], w.people[1], w.people[2]
			wk, pkts := newBatch(w, []*person{x, y, z}, w.session(x, y), w.session(x, z))
			if !bb.other {
				for i := range pkts {
					pkts[i] = pkts[0]
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range (b.N + len(pkts) - 1) / len(pkts) {
				wk.batch(w.now, pkts)
			}
		})
	}
}

// BenchmarkControl is one Register that is answered with a Challenge: opening, three
// cookies, sealing.
func BenchmarkControl(b *testing.B) {
	w := newWorld(b, 1, TableOptions{})
	frame := w.seal(w.people[0], questions(w, w.people[0])[0].RelayMessage)
	src, c := &source{remote: w.people[0].addr}, w.table.clients[w.people[0].key()]
	b.ReportAllocs()
	n := 0
	for range b.N {
		c.limit, w.table.limit = answerLimit{}, answerLimit{}
		w.table.handle(w.now, src, 0, frame, func(*place, geneve.VNI, []byte) { n++ })
	}
	if n != b.N {
		b.Errorf("%d answers to %d questions", n, b.N)
	}
}
