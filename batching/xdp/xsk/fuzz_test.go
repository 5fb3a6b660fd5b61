// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"encoding/binary"
	"errors"
	"testing"
)

// Any sequence of calls and of what the kernel does keeps each frame in exactly one
// place, each packet in order and once, and refuses what was given back before.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 9, 1, 9, 2, 9, 3, 9, 4, 9, 5, 9, 6, 9, 7, 9, 8, 9})
	f.Add([]byte{0, 3, 1, 2, 2, 1, 0, 9, 1, 9, 8, 0, 2, 200, 4, 5, 5, 2, 6, 1, 7, 1})
	f.Add([]byte{4, 255, 5, 255, 4, 1, 7, 255, 8, 255, 6, 4, 7, 9, 8, 9})
	f.Fuzz(func(t *testing.T, ops []byte) {
		const rxFrames, txFrames = 5, 6
		s := newSim(rxFrames, txFrames, 64)
		var lent, back, out, spent []Frame // borrowed and given back, each direction
		var wire []desc
		var delivered, received, sent, seen uint64
		for ; len(ops) >= 2; ops = ops[2:] {
			k := int(ops[1])
			switch ops[0] % 9 {
			case 0:
				delivered = s.deliver(delivered, uint32(k%8))
			case 1:
				room := make([]Frame, k%8)
				for _, f := range room[:s.rx.receive(room)] {
					if got := binary.NativeEndian.Uint64(f.Data); got != received {
						t.Fatalf("received %d, want %d", got, received)
					}
					received++
					lent = append(lent, f)
				}
			case 2:
				k %= len(lent) + 1
				if n, err := s.rx.release(lent[:k]); n != k || err != nil || s.part.letGo(int64(n)) != nil {
					t.Fatalf("release: %d, %v", n, err)
				}
				back, lent = append(back, lent[:k]...), lent[k:]
			case 3:
				if len(back) > 0 {
					if n, err := s.rx.release(back[k%len(back):][:1]); n != 0 || !errors.Is(err, ErrFrame) {
						t.Fatalf("released twice: %d, %v", n, err)
					}
				}
			case 4:
				room := make([]Frame, k%8)
				out = append(out, room[:s.tx.alloc(room)]...)
			case 5:
				k %= len(out) + 1
				for i := range out[:k] {
					out[i].Data = binary.NativeEndian.AppendUint64(out[i].Data[:0], sent+uint64(i))
				}
				if n, err := s.tx.transmit(out[:k]); n != k || err != nil || s.part.letGo(int64(n)) != nil {
					t.Fatalf("transmit: %d, %v", n, err)
				}
				sent += uint64(k)
				spent, out = append(spent, out[:k]...), out[k:]
			case 6:
				if len(spent) > 0 {
					if n, err := s.tx.transmit(spent[k%len(spent):][:1]); n != 0 || !errors.Is(err, ErrFrame) {
						t.Fatalf("sent twice: %d, %v", n, err)
					}
				}
			case 7:
				for _, d := range s.send(uint32(k % 8)) {
					if got := binary.NativeEndian.Uint64(s.mem.data[d.addr:]); got != seen {
						t.Fatalf("sent %d, want %d", got, seen)
					}
					seen++
					wire = append(wire, d)
				}
			case 8:
				k %= len(wire) + 1
				s.finish(wire[:k])
				wire = wire[k:]
				s.tx.complete()
			}
			if got := s.part.holders.Load(); got != int64(1+len(lent)+len(out)) {
				t.Fatalf("%d holders, want 1 and %d frames", got, len(lent)+len(out))
			}
			inFill := int(s.rx.fill.prod - s.kFill.consumer.Load())
			if inFill+int(delivered-received)+len(lent) != rxFrames {
				t.Fatalf("%d to fill, %d to read, %d lent, want %d in all", inFill, delivered-received, len(lent), rxFrames)
			}
			if len(s.tx.pool.free)+int(sent-seen)+len(wire)+len(out) != txFrames {
				t.Fatalf("%d free, %d to send, %d on the wire, %d lent, want %d in all", len(s.tx.pool.free), sent-seen, len(wire), len(out), txFrames)
			}
		}
		if st := s.c.stats(); st.RxBad != 0 || st.TxBad != 0 || st.RxPackets != received || st.TxPackets != sent {
			t.Fatalf("got %+v", st)
		}
	})
}
