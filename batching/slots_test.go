// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"testing"

	"github.com/tunrouter/tunrouter/batching"
)

// busy is a Traffic that has seen full calls of messages of a kind.
func busy(messages, packets, size int) *batching.Traffic {
	t := new(batching.Traffic)
	for range 100 {
		t.Observe(messages, messages*packets, messages*packets*size)
	}
	return t
}

func TestSlots(t *testing.T) {
	for _, tc := range []struct {
		name              string
		traffic           *batching.Traffic
		slab, descriptors int
		n, size           int
	}{
		{"at first", new(batching.Traffic), wireguardSlab, 128, batching.MinOffer, batching.SmallSlot},
		{"many small flows", busy(64, 1, 200), wireguardSlab, 128, 64, batching.SmallSlot},
		{"many full packets", busy(64, 1, 1472), wireguardSlab, 128, 64, batching.SmallSlot},
		{"small packets in twos", busy(40, 2, 200), wireguardSlab, 128, 64, batching.SmallSlot},
		{"small packets in tens", busy(12, 10, 150), wireguardSlab, 128, 12, batching.SmallSlot},
		{"jumbo packets", busy(8, 1, 8952), wireguardSlab, 128, 8, batching.MediumSlot},
		{"bulk", busy(2, 45, 1452), wireguardSlab, 128, 2, batching.LargeSlot},
		{"few messages", busy(1, 1, 200), wireguardSlab, 128, batching.MinOffer, batching.SmallSlot},
		{"one descriptor", busy(64, 1, 200), wireguardSlab, 1, 1, batching.SmallSlot},
		{"more segments than descriptors", busy(2, 45, 1452), wireguardSlab, 10, 1, batching.LargeSlot},
		{"small slab", busy(64, 1, 200), 5000, 128, 2, batching.SmallSlot},
		{"tiny slab", busy(64, 1, 200), 100, 128, 1, 100},
		{"slab of one message", busy(2, 45, 1452), 40_000, 128, 1, 40_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, size := tc.traffic.Slots(tc.slab, tc.descriptors)
			if n != tc.n || size != tc.size {
				t.Errorf("got %d slots of %d bytes, want %d of %d", n, size, tc.n, tc.size)
			}
			if n*size > tc.slab || n > batching.MaxSlots {
				t.Errorf("%d slots of %d bytes do not fit %d", n, size, tc.slab)
			}
		})
	}
}

// Large slots come at once, small ones after a while; a single large message
// among many small ones changes nothing.
func TestSlotsFollowTraffic(t *testing.T) {
	tr := busy(64, 1, 200)
	tr.Observe(64, 63+45, 63*200+65340)
	if _, size := tr.Slots(wireguardSlab, 128); size != batching.SmallSlot {
		t.Errorf("one large message in 64: got slots of %d, want %d", size, batching.SmallSlot)
	}
	tr.Observe(2, 90, 2*65340)
	if _, size := tr.Slots(wireguardSlab, 128); size != batching.LargeSlot {
		t.Errorf("after bulk: got slots of %d, want %d", size, batching.LargeSlot)
	}
	calls := 0
	for ; calls < 100; calls++ {
		if n, size := tr.Slots(wireguardSlab, 128); n == 64 && size == batching.SmallSlot {
			break
		}
		n, _ := tr.Slots(wireguardSlab, 128)
		tr.Observe(n, n, n*200)
	}
	if calls > 25 {
		t.Errorf("many small messages after bulk: %d calls until 64 small slots, want at most 25", calls)
	}
}

// Sizes hold what they are made for.
func TestSlotSizes(t *testing.T) {
	if n := wireguardSlab / batching.SmallSlot; n < 64 {
		t.Errorf("wireguard-go's slab has %d small slots, want 64", n)
	}
	if n := wireguardSlab / batching.LargeSlot; n != 2 {
		t.Errorf("wireguard-go's slab has %d large slots, want 2", n)
	}
	if batching.LargeSlot < batching.MaxPayload6 || batching.RingSlot < batching.MaxMessage {
		t.Error("large slots or ring slots do not hold the largest datagram")
	}
}
