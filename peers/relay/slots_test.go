// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"testing"

	"github.com/tunrouter/tunrouter/geneve"
)

func TestSlots(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 64, 10_000} {
		s := newSlots(n, 0xffffffff)
		seen := make(map[geneve.VNI]bool)
		var in []*session
		for round := range 40 {
			for range n {
				x := new(session)
				if !s.put(x) {
					t.Fatalf("%d slots: full with %d in use", n, s.used())
				}
				if v := x.vni; !v.IsSet() || v.Value() == 0 || v.Value() > geneve.MaxVNI {
					t.Fatalf("%d slots: VNI %v", n, v)
				}
				if round*n < geneve.MaxVNI/n && seen[x.vni] && n <= 64 {
					t.Fatalf("%d slots: VNI %v twice in %d", n, x.vni, round*n)
				}
				seen[x.vni] = true
				if s.get(x.vni) != x {
					t.Fatalf("%d slots: VNI %v is not found", n, x.vni)
				}
				in = append(in, x)
			}
			if s.put(new(session)) || s.used() != n {
				t.Fatalf("%d slots: %d in use and not full", n, s.used())
			}
			for _, x := range in {
				s.remove(x)
				if s.get(x.vni) != nil {
					t.Fatalf("%d slots: VNI %v is found after its end", n, x.vni)
				}
			}
			in = in[:0]
		}
		if s.used() != 0 {
			t.Errorf("%d slots: %d in use, want none", n, s.used())
		}
	}
}

// A slot that became free is the last one to be used again.
func TestSlotRests(t *testing.T) {
	const n = 100
	s := newSlots(n, 0)
	first := new(session)
	s.put(first)
	s.remove(first)
	for range n - 1 {
		x := new(session)
		if s.put(x); x.slot == first.slot {
			t.Fatal("a slot was used again while others were free")
		}
	}
	x := new(session)
	if s.put(x); x.slot != first.slot || x.vni == first.vni || s.get(first.vni) != nil {
		t.Errorf("slot %d VNI %v, the first had slot %d VNI %v", x.slot, x.vni, first.slot, first.vni)
	}
}
