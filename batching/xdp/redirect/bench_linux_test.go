// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import "testing"

// BenchmarkProgram measures what the program costs for each frame that the
// interface receives, whoever it is for, by dry runs in the kernel: 64 bytes of
// payload, everything in the cache.
func BenchmarkProgram(b *testing.B) {
	for _, bb := range []struct {
		name  string
		frame []byte
	}{
		{"redirected-v4", datagram(our4(), 64)},
		{"redirected-v6", datagram(our6(), 64)},
		{"other-port", put(datagram(our4(), 64), 36, 0, 53)},
		{"tcp", put(datagram(our4(), 64), 23, 6)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p := loaded(b, testModel())
			_, each, err := p.prog.Benchmark(bb.frame, b.N, b.ResetTimer)
			must(b, err)
			b.ReportMetric(float64(each.Nanoseconds()), "ns/frame")
			b.ReportMetric(0, "ns/op") // includes the system call
		})
	}
}
