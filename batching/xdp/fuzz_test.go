// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// Whatever fails and whenever, each packet is sent exactly once or not counted: the
// frames and what the kernel's socket took are, in this order, the first n packets,
// and every frame is free again.
func FuzzWrite(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(40*seed), uint16(seed), uint8(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, packets uint8, frames uint16, faults uint8) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		r := newActiveRig(t, 1+int(frames)%200)
		total := len(r.sock.tx.free)
		vni, header := geneve.VNI(0), 0
		if faults&1 != 0 {
			vni, header = ourVNI, geneve.HeaderLen
		}
		if faults&2 != 0 {
			r.sock.transmit = func(n int) (int, error) {
				switch rnd.IntN(4) {
				case 0:
					return rnd.IntN(n + 1), syscall.ENETDOWN
				case 1:
					return min(n, 1+rnd.IntN(max(n, 1))), nil
				}
				return n, nil
			}
		}
		var answer func(n int) (int, error)
		if faults&4 != 0 {
			answer = func(n int) (int, error) {
				if k := rnd.IntN(n + 1); k < n {
					return k, syscall.EPERM
				}
				return n, nil
			}
		}
		for range 1 + rnd.IntN(4) {
			offset := header + rnd.IntN(3)
			var want []string
			for i := range int(packets) {
				size := rnd.IntN(40)
				if faults&8 != 0 && rnd.IntN(100) == 0 {
					size = ourMTU
				}
				want = append(want, fmt.Sprintf("%d %d %0*d", seed, i, size, 0))
			}
			bufs := bufsOf(offset, want)
			r.v4.answer = answer
			if faults&16 != 0 && len(bufs) > 0 && offset > 0 && rnd.IntN(4) == 0 {
				at := rnd.IntN(len(bufs))
				bufs[at] = bufs[at][:offset-1]
				r.v4.answer = func(int) (int, error) { return 0, batching.ErrOffset }
			}
			sent, took := len(r.sock.sent), len(r.v4.took)
			n, err := r.c.WriteBatch(bufs, offset, dest(far4), vni)
			if n < 0 || n > len(want) || (n == len(want)) != (err == nil) {
				t.Fatalf("%d of %d, %v", n, len(want), err)
			}
			got := payloadsOf(t, r.sock.sent[sent:], far4)
			for i := range got {
				got[i] = got[i][header:]
			}
			if got = append(got, r.v4.took[took:]...); !slices.Equal(got, want[:n]) {
				t.Fatalf("sent %q\nwant %q", got, want[:n])
			}
			if errors.Is(err, batching.ErrOffset) && n != 0 {
				t.Fatalf("%d packets sent, %v", n, err)
			}
		}
		if len(r.sock.tx.free) != total {
			t.Fatalf("%d of %d frames free", len(r.sock.tx.free), total)
		}
	})
}

// Whatever arrives and however small slab and pkts are, each frame is delivered or
// counted, once, in order, within the slab, and given back.
func FuzzRead(f *testing.F) {
	f.Add(uint64(1), uint16(100), uint8(64), uint8(0))
	f.Add(uint64(2), uint16(20), uint8(1), uint8(255))
	f.Add(uint64(3), uint16(0), uint8(3), uint8(20))
	f.Fuzz(func(t *testing.T, seed uint64, slab uint16, pkts, spoilt uint8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := newActiveRig(t, 150)
		if err := r.c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		var want []string
		delivered, retired := 0, uint64(0)
		for range 1 + rnd.IntN(4) {
			for i := range rnd.IntN(100) {
				payload := fmt.Sprintf("%d %0*d", i, rnd.IntN(30), 0)
				b := frameOf(far6, our6, []byte(payload), nil)
				if rnd.IntN(256) < int(spoilt) {
					b = b[:rnd.IntN(len(b))] // one that is cut is never delivered
				} else if len(payload) <= int(slab) {
					want = append(want, payload)
				}
				delivered += r.sock.deliver(b)
			}
			s, p := make([]byte, slab), make([]batching.Packet, pkts)
			for {
				n, err := r.c.ReadBatch(s, p)
				if slab == 0 || pkts == 0 {
					wantError(t, err, io.ErrShortBuffer)
					return
				}
				if err != nil {
					wantError(t, err, os.ErrDeadlineExceeded)
					break
				}
				for _, p := range p[:n] {
					if got := string(s[p.Offset : p.Offset+p.Size]); len(want) == 0 || got != want[0] || p.Remote != far6 {
						t.Fatalf("got %q from %v, want %.1q", got, p.Remote, want)
					}
					want = want[1:]
					retired++
				}
			}
		}
		for _, n := range dropCounts(r.c) {
			retired += n
		}
		if len(want) != 0 || retired != uint64(delivered) || r.sock.lent() != 0 {
			t.Fatalf("%d packets missing, %d of %d frames accounted for, %d not given back", len(want), retired, delivered, r.sock.lent())
		}
	})
}
