// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// tagTable says which client a tag is of, for one epoch and its neighbours.
// Immutable.
type tagTable struct {
	epoch uint64
	heard map[disco.Tag]tagged
}

type tagged struct {
	client *client
	epoch  uint64
}

// find returns whom a frame with that tag is from. It takes no lock but when the
// epoch has changed or the list has.
func (t *Table) find(now time.Time, tag disco.Tag) (tagged, bool) {
	epoch := disco.Epoch(now)
	tags := t.tags.Load()
	if tags == nil || tags.epoch != epoch {
		t.mu.Lock()
		tags = t.makeTagsLocked(epoch)
		t.mu.Unlock()
	}
	h, ok := tags.heard[tag]
	return h, ok
}

func (t *Table) makeTagsLocked(epoch uint64) *tagTable {
	if tags := t.tags.Load(); tags != nil && tags.epoch == epoch {
		return tags // somebody else was faster
	}
	tags := &tagTable{epoch: epoch, heard: make(map[disco.Tag]tagged, 3*len(t.clients))}
	for _, c := range t.clients {
		for e := max(epoch, 1) - 1; e <= epoch+1; e++ {
			tags.heard[c.pair.ReceiveTag(e)] = tagged{c, e}
		}
	}
	t.tags.Store(tags)
	return tags
}

// SetAllowed makes keys the clients of the relay, live: sessions and registration
// of a key that is no longer there end, the others stay. Keys that nobody can
// have (of low order), the relay's own and repeated ones are left out. It returns
// how many clients there are.
func (t *Table) SetAllowed(keys []disco.Key) int {
	t.listing.Lock()
	defer t.listing.Unlock()
	t.mu.Lock()
	known := make(map[disco.Key]*client, len(t.clients))
	for key, c := range t.clients {
		known[key] = c
	}
	t.mu.Unlock()

	// An X25519 operation each, so not under the lock.
	next := make(map[disco.Key]*client, len(keys))
	for _, key := range keys {
		c := known[key]
		if c == nil && next[key] == nil {
			pair, err := t.identity.Pair(disco.DomainRelay, key)
			if err != nil {
				continue
			}
			c = &client{key: key, pair: pair, sessions: make(map[*client]*session)}
		}
		if c != nil {
			next[key] = c
		}
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	for key, c := range t.clients {
		if next[key] == c {
			continue
		}
		c.gone, c.at = true, nil
		for _, s := range c.sessions {
			t.endLocked(s, endedNotAllowed)
		}
	}
	t.clients = next
	t.tags.Store(nil)
	return len(next)
}
