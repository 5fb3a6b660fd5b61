// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import "math/bits"

// A Batch is one call's memory: the verdicts of the flows seen in it, and the time.
// The zero value is ready. [Batch.Reset] begins the next call; without it a flow is
// not seen to be alive. A Batch belongs to one goroutine and one [Filter].
type Batch struct {
	rules   *ruleset // of the verdicts; nil before the first
	now     int64    // of the clock, in nanoseconds
	epoch   uint32   // of the verdicts that count
	stripe  uint32   // of the counters, 0 before the first
	entries [cached]entry
}

// cached is how many flows a Batch remembers: a call of 128 packets rarely has more, and 4
// KiB leave most of the first-level cache to the packets. A power of two.
const cached = 64

// An entry is the verdict about one direction of a flow.
type entry struct {
	tuple  tuple
	rule   *rule
	epoch  uint32
	reason Reason
}

// Reset forgets the verdicts; the next packet asks for the time.
func (b *Batch) Reset() { b.rules = nil }

// begin starts an empty batch under the rules r.
func (b *Batch) begin(f *Filter, r *ruleset) {
	if b.stripe == 0 {
		b.stripe = f.batches.Add(1)
	}
	b.rules, b.now = r, f.now()
	if b.epoch++; b.epoch == 0 {
		b.entries, b.epoch = [cached]entry{}, 1
	}
}

// entry returns the place of t. What it holds may be of another flow or batch.
func (b *Batch) entry(t *tuple) *entry {
	ends := uint64(t.srcPort)<<48 | uint64(t.dstPort)<<32 | uint64(t.from^t.to<<8)
	h := mix(t.src[1]^bits.RotateLeft64(t.dst[1], 32)^0xa0761d6478bd642f, ends^0xe7037ed1a0b428db) // constants of wyhash
	return &b.entries[h%cached]
}

// holds reports whether e is the verdict about t in b.
func (e *entry) holds(b *Batch, t *tuple) bool { return e.epoch == b.epoch && e.tuple == *t }

// forget removes the verdict about t.
func (b *Batch) forget(t *tuple) {
	if e := b.entry(t); e.holds(b, t) {
		e.epoch = 0
	}
}
