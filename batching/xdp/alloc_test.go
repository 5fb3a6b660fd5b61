// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// Reading allocates nothing, with packets and without.
func TestReadBatchNoAllocs(t *testing.T) {
	r := newActiveRig(t, 64)
	frames := [][]byte{plain("one"), frameOf(far6, our6, []byte("two"), nil), plain("")}
	slab, pkts := make([]byte, 1<<12), make([]batching.Packet, 64)
	if err := r.c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(1000, func() {
		r.sock.deliver(frames...)
		if n, err := r.c.ReadBatch(slab, pkts); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := r.c.ReadBatch(slab, pkts); n != 0 || err == nil {
			t.Fatal(n, err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// Writing past the kernel allocates nothing, and leaving packets to the kernel's
// socket does not either; but for what sync.Pool forgets.
func TestWriteBatchNoAllocs(t *testing.T) {
	r := newActiveRig(t, 64)
	r.sock.quiet = true
	r.v4.answer, r.v6.answer = nothing, nothing
	for _, to := range []netip.AddrPort{far4, far6} {
		for _, vni := range []geneve.VNI{0, ourVNI} {
			dst, bufs := dest(to), bufsOf(8, numbered(100))
			write := func() {
				if n, err := r.c.WriteBatch(bufs, 8, dst, vni); n != len(bufs) || err != nil {
					t.Fatal(n, err)
				}
			}
			if allocs := testing.AllocsPerRun(1000, write); allocs != 0 && !poolForgets {
				t.Errorf("%v, VNI %v: %v allocations", to, vni, allocs)
			}
			long := [][]byte{make([]byte, 2000)}
			through := func() {
				if n, err := r.c.WriteBatch(long, 8, dst, vni); n != 0 || err != nil {
					t.Fatal(n, err)
				}
			}
			if allocs := testing.AllocsPerRun(1000, through); allocs != 0 && !poolForgets {
				t.Errorf("%v, VNI %v, through the kernel: %v allocations", to, vni, allocs)
			}
		}
	}
}

// nothing is the answer of a kernel's socket that remembers nothing.
func nothing(int) (int, error) { return 0, nil }
