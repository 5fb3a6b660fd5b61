// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

// Sizes of slots. Small and medium ones are odd numbers of cache lines, so that
// slots do not compete for the same sets of the caches.
const (
	// smallSlot holds a packet of a 1,500-byte path (1,472 bytes) or a few small
	// ones merged. wireguard-go's slab of 131,070 bytes has 64 of them.
	smallSlot = 31 * 64 // 1,984
	// mediumSlot holds a packet of a 9,000-byte path, or a dozen of 1,420 bytes
	// merged. The slab has 8.
	mediumSlot = 255 * 64 // 16,320
	// largeSlot holds any message: maxMessage rounded up to 8 bytes. The slab
	// has 2.
	largeSlot = (maxMessage + 7) &^ 7 // 65,528
)

// stride is the distance of slots of the given size: that size, but for the largest
// a whole number of cache lines, which the kernel copies 64 KiB into faster.
func stride(size int) int {
	if size == largeSlot {
		return largeStride
	}
	return size
}

// largeStride is the distance of large slots. The last one reaches less far: the slab
// has 65,536 + 65,528 of its 131,070 bytes in two of them.
const largeStride = 1 << 16

// minOffer is the least number of slots prepared for one system call. Preparing
// one costs some nanoseconds, and so do the pointers to clear afterwards.
const minOffer = 8

// traffic is a running idea of what one system call brings. It rises at once and
// falls by a quarter of the difference with each call: bulk is received without
// copying from its second call on, while many small messages after bulk get
// their small slots within about 16 calls.
type traffic struct {
	fixed int // the size of all slots; 0: follow the traffic
	size  int // bytes in a message
	split int // packets in a message
	burst int // messages in a call
}

// observe takes in the result of one call that brought messages.
func (t *traffic) observe(messages, packets, bytes int) {
	follow(&t.size, (bytes+messages-1)/messages)
	follow(&t.split, (packets+messages-1)/messages)
	follow(&t.burst, messages)
}

func follow(v *int, seen int) {
	if seen >= *v {
		*v = seen
	} else {
		*v -= (*v - seen + 3) / 4
	}
}

// slots returns how many slots of which size to receive into, for a slab of that
// many bytes and room for packets descriptors; both are positive. Slots are next
// to each other and never more than maxSlots.
func (t *traffic) slots(slab, packets int) (n, size int) {
	size = largeSlot
	switch {
	case t.fixed > 0:
		size = t.fixed
	case t.size <= smallSlot:
		size = smallSlot
	case t.size <= mediumSlot:
		size = mediumSlot
	}
	size = min(size, slab)
	n = min((slab-size)/stride(size)+1, maxSlots, max(minOffer, 2*t.burst), packets/max(t.split, 1))
	return max(n, 1), size
}
