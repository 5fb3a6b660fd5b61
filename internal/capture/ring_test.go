// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"sync"
	"testing"
)

// FuzzRing: whatever is put and taken in whatever order, what comes out is what went in,
// in its order, and what did not go in was refused.
func FuzzRing(f *testing.F) {
	f.Add([]byte{1, 2, 0, 3, 0, 0, 255, 255, 0})
	f.Add(bytes.Repeat([]byte{200, 0}, 300))
	f.Add(bytes.Repeat([]byte{250}, 300))
	f.Fuzz(func(t *testing.T, steps []byte) {
		r := newRing(16 * cellLen)
		var want [][]byte
		held := 0 // cells
		for i, step := range steps {
			if step == 0 { // take one
				m, first, rest := r.next()
				if (m == nil) != (len(want) == 0) {
					t.Fatalf("%d packets are in the ring, next says %v", len(want), m)
				}
				if m == nil {
					continue
				}
				if got := append(bytes.Clone(first), rest...); !bytes.Equal(got, want[0]) || int(m.length) != len(got) {
					t.Fatalf("got %d bytes, want %d", len(got), len(want[0]))
				}
				held -= max(1, (len(want[0])+cellLen-1)/cellLen)
				want = want[1:]
				r.free(m)
				continue
			}
			pkt := bytes.Repeat([]byte{byte(i)}, int(step-1)*23)
			cells := max(1, (len(pkt)+cellLen-1)/cellLen)
			cut := len(pkt) / 3
			ok := r.put(&meta{length: uint32(len(pkt))}, pkt[:cut], pkt[cut:])
			if ok != (held+cells <= 16) {
				t.Fatalf("%d cells held, %d asked for: put says %v", held, cells, ok)
			}
			if ok {
				want = append(want, pkt)
				held += cells
			}
		}
		if r.empty() != (len(want) == 0) {
			t.Fatalf("empty says %v with %d packets", r.empty(), len(want))
		}
	})
}

// TestRingConcurrent: packets of several goroutines come out whole, each goroutine's in
// their order, and are as many as were put.
func TestRingConcurrent(t *testing.T) {
	const writers, each = 4, 2000
	r := newRing(64 * cellLen)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			b := make([]byte, 0, 2000)
			for i := range each {
				b = binary.BigEndian.AppendUint32(b[:0], uint32(w))
				b = binary.BigEndian.AppendUint32(b, uint32(i))
				for len(b) < 8+i*7%1500 {
					b = append(b, byte(w+i))
				}
				for !r.put(&meta{length: uint32(len(b))}, nil, b) {
					runtime.Gosched() // refused: it must not have left anything
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	got, last := make([]int, writers), make([]int, writers)
	for end := false; ; {
		m, first, rest := r.next()
		if m == nil {
			if end {
				break
			}
			select {
			case <-r.wait():
			case <-done:
				end = true // and what came meanwhile
			}
			continue
		}
		b := append(bytes.Clone(first), rest...)
		r.free(m)
		w, i := int(binary.BigEndian.Uint32(b)), int(binary.BigEndian.Uint32(b[4:]))
		if want := max(8, 8+i*7%1500); len(b) != want {
			t.Fatalf("packet %d of %d has %d bytes, want %d", i, w, len(b), want)
		}
		for _, c := range b[8:] {
			if c != byte(w+i) {
				t.Fatalf("packet %d of %d is not what was put", i, w)
			}
		}
		if got[w] > 0 && i != last[w]+1 {
			t.Fatalf("packet %d of %d after %d", i, w, last[w])
		}
		got[w]++
		last[w] = i
	}
	for w := range writers {
		if got[w] != each {
			t.Errorf("%d packets of %d came out, %d went in", got[w], w, each)
		}
	}
	if !r.empty() {
		t.Error("the ring is not empty")
	}
}
