// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"maps"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

const (
	// epochMemory is how long it matters by which clock somebody was heard.
	epochMemory = 30 * time.Minute
	// maxRecent is how many contacts the small map holds before it is joined with
	// the large one: adding n contacts copies n²/64 entries, not n².
	maxRecent = 64
)

// A contact is somebody with whom frames are exchanged, a peer or a relay.
type contact struct {
	pair    *disco.Pair
	heardAt moment
	old     bool // it was heard by the steady clock, when that differs from the wall clock
	gone    bool
}

// An owner is whose tag it is.
type owner struct {
	*contact
	peer  *peer
	relay *relayClient
}

type ownedTag struct {
	*owner
	epoch uint64
}

// A tagTable is immutable. recent are contacts that were added since base was
// made.
type tagTable struct{ base, recent map[disco.Tag]ownedTag }

// A tagBook knows the tags of all contacts. Only table is used by others than
// the agent's goroutine.
//
// When the wall clock jumps by more than an epoch, because it was set, the contacts
// do not know that: those that were heard not long ago are spoken to by the
// steady clock, which goes on as if nothing had happened, as long as they answer.
type tagBook struct {
	table  atomic.Pointer[tagTable]
	epoch  uint64 // by the wall clock
	steady uint64 // by the steady clock; nearly always the same
	recent int    // contacts in the small map
	stale  int    // contacts that are gone, in the table

	wall    time.Time // the steady clock was this
	at      moment    // at this moment
	jumped  moment    // when the clocks parted
	oldUsed moment    // a contact was heard by the steady clock after that
}

func (b *tagBook) begin() { b.table.Store(&tagTable{}) }

// sendEpoch is the epoch of frames to the contact.
func (b *tagBook) sendEpoch(c *contact, at moment) uint64 {
	if b.steady != b.epoch && at-c.heardAt < epochMemory && (c.old || c.heardAt < b.jumped) {
		return b.steady
	}
	return b.epoch
}

// find returns whose tag it is and of which epoch.
func (b *tagBook) find(tag disco.Tag) (ownedTag, bool) {
	t := b.table.Load()
	o, ok := t.recent[tag]
	if !ok {
		o, ok = t.base[tag]
	}
	return o, ok
}

// add makes the tags of o known at once.
func (b *tagBook) add(o *owner) {
	old := b.table.Load()
	t := &tagTable{base: old.base}
	if b.recent++; b.recent > maxRecent {
		t.base = make(map[disco.Tag]ownedTag, len(old.base)+len(old.recent))
		maps.Copy(t.base, old.base)
		maps.Copy(t.base, old.recent)
		b.recent = 1
	} else {
		t.recent = maps.Clone(old.recent)
	}
	if t.recent == nil {
		t.recent = make(map[disco.Tag]ownedTag, 3)
	}
	b.put(t.recent, o)
	b.table.Store(t)
}

// put adds the tags that o may use now: of our epoch, the one before and the one
// after, by both clocks.
func (b *tagBook) put(m map[disco.Tag]ownedTag, o *owner) {
	for _, e := range [...]uint64{b.epoch - 1, b.epoch, b.epoch + 1} {
		m[o.pair.ReceiveTag(e)] = ownedTag{o, e}
	}
	if b.steady == b.epoch {
		return
	}
	for _, e := range [...]uint64{b.steady - 1, b.steady, b.steady + 1} {
		m[o.pair.ReceiveTag(e)] = ownedTag{o, e}
	}
}

// clocks sets the clocks and reports whether an epoch has changed.
func (b *tagBook) clocks(wall time.Time, at moment) (changed bool) {
	epoch, steady := disco.Epoch(wall), disco.Epoch(b.wall.Add(at-b.at))
	switch {
	case b.wall.IsZero(), distance(epoch, steady) <= 1:
		steady = epoch
	case b.steady == b.epoch:
		b.jumped, b.oldUsed = at, at
	case at-b.oldUsed >= epochMemory: // nobody goes by the steady clock
		steady = epoch
	}
	if steady == epoch {
		b.wall, b.at = wall, at
	}
	changed = epoch != b.epoch || steady != b.steady
	b.epoch, b.steady = epoch, steady
	return changed
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// update makes the table again when an epoch has changed, because an hour has
// passed or the clock was set, or when too much of it is out of date.
func (b *tagBook) update(wall time.Time, at moment, a *Agent) {
	if !b.clocks(wall, at) && b.stale <= maxRecent {
		return
	}
	b.recent, b.stale = 0, 0
	m := make(map[disco.Tag]ownedTag, 3*(len(a.order)+len(a.relays)))
	for i := range a.order {
		if p := a.order[i].peer; p.pair != nil {
			b.put(m, &owner{peer: p, contact: &p.contact})
		}
	}
	for _, r := range a.relays {
		b.put(m, &owner{relay: r, contact: &r.contact})
	}
	b.table.Store(&tagTable{base: m})
}

// heard notes an authentic frame of the contact, and which clock it goes by.
func (b *tagBook) heard(o ownedTag, at moment) {
	o.heardAt = at
	if s, w := distance(o.epoch, b.steady), distance(o.epoch, b.epoch); s != w {
		o.old = s < w
	}
	if o.old {
		b.oldUsed = at
	}
}

// Knows reports whether the tag is one of a peer or relay, so that
// [Agent.Receive] has a use for the frame. It is safe for concurrent use, takes
// no lock and allocates nothing.
func (a *Agent) Knows(tag disco.Tag) bool {
	_, ok := a.tags.find(tag)
	return ok
}

// Carries reports whether p is a session of ours on a relay, so that frames and
// packets with its VNI from there are for us. It is safe for concurrent use,
// takes no lock and allocates nothing.
func (a *Agent) Carries(p Path) bool {
	_, ok := (*a.carried.Load())[p]
	return ok
}
