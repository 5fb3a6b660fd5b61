// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame_test

import (
	"fmt"
	"testing"

	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/geneve"
)

func TestNoAllocs(t *testing.T) {
	for _, o := range []frame.Options{options4(), options6()} {
		tmpl, payload, b, vni := mustNew(t, o), pattern(1420), make([]byte, 2048), mustVNI(t, 9)
		var d frame.Datagram
		bad := 0
		allocs := testing.AllocsPerRun(100, func() {
			n, err := tmpl.Put(b, 1, vni, payload)
			if err != nil || d.Parse(b[:n]) != frame.OK || !d.ChecksumValid(b) || d.Parse(b[:n-1]) == frame.OK {
				bad++
			}
		})
		if allocs != 0 || bad != 0 {
			t.Errorf("%v: %v allocations, %d failures", o.Dst, allocs, bad)
		}
	}
}

// sizes are those of a payload in bytes: the smallest packets, those of voice,
// and those of bulk traffic.
var sizes = []int{64, 200, 1400}

func BenchmarkPut(b *testing.B) {
	for name, o := range map[string]frame.Options{"v4": options4(), "v6": options6()} {
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				tmpl, payload, buf := mustNew(b, o), pattern(size), make([]byte, 2048)
				b.SetBytes(int64(size))
				for b.Loop() {
					if _, err := tmpl.Put(buf, 1, geneve.VNI(0), payload); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, o := range map[string]frame.Options{"v4": options4(), "v6": options6()} {
		b.Run(name, func(b *testing.B) {
			buf := mustPut(b, mustNew(b, o), 1, 0, pattern(1400))
			var d frame.Datagram
			for b.Loop() {
				if r := d.Parse(buf); r != frame.OK {
					b.Fatal(r)
				}
			}
		})
	}
}
