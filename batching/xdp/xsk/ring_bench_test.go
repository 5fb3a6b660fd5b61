// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import "testing"

// What this package does for a frame, without a kernel: batches of 64 through
// simulated rings, whose other end takes part of the time.
func BenchmarkRing(b *testing.B) {
	const batch = 64
	b.Run("receive", func(b *testing.B) {
		s := newSim(2048, 1, 2048)
		frames := make([]Frame, batch)
		b.ReportAllocs()
		for done := 0; done < b.N; done += batch {
			s.deliver(0, batch)
			n := s.rx.receive(frames)
			if got, err := s.rx.release(frames[:n]); got != batch || err != nil {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		s := newSim(1, 2048, 2048)
		bufs := make([][]byte, batch)
		for i := range bufs {
			bufs[i] = make([]byte, 64)
		}
		b.ReportAllocs()
		for done := 0; done < b.N; done += batch {
			if n, err := s.tx.write(bufs, 0); n != batch || err != nil {
				b.Fatal(n, err)
			}
			s.echo()
		}
	})
	b.Run("transmit", func(b *testing.B) {
		s := newSim(1, 2048, 2048)
		frames := make([]Frame, batch)
		b.ReportAllocs()
		for done := 0; done < b.N; done += batch {
			n := s.tx.alloc(frames)
			if got, err := s.tx.transmit(frames[:n]); got != batch || err != nil {
				b.Fatal(got, err)
			}
			s.echo()
		}
	})
}

// echo completes what is in the transmit ring.
func (s *sim) echo() {
	n := s.kTx.ready(s.kTx.mask + 1)
	for i := range n {
		s.kDone.put(i, s.kTx.get(i).addr)
	}
	s.kTx.consumed(n)
	s.kDone.publish(n)
}
