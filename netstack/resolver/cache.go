// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

const (
	maxCached  = 1024             // names
	maxTTL     = time.Hour        // of addresses, whatever the server says
	maxMissing = 30 * time.Second // of "no such name": one that appears is soon seen

	// incompleteTTL bounds an answer of one family while the other one's is
	// missing: long enough that a server which never gives it costs 50 ms only
	// now and then.
	incompleteTTL = 10 * time.Second
)

// A key is a name, absolute and in lower case, and what is asked about it.
type key struct {
	name string
	want families
}

// A result is what a server knows about a name.
type result struct {
	addrs  []netip.Addr  // immutable; none: there are none
	ttl    time.Duration // 0: do not keep
	server string
}

// cache keeps results until their time is up or others need the room, those
// that were asked for longest ago first.
type cache struct {
	mu      sync.Mutex // guards below
	entries map[key]*list.Element
	used    list.List // of *entry, the latest first
}

type entry struct {
	key     key
	result  result
	expires time.Time
}

func (c *cache) init() { c.entries = make(map[key]*list.Element) }

func (c *cache) get(k key) (result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.entries[k]
	if el == nil {
		return result{}, false
	}
	e := el.Value.(*entry)
	if !time.Now().Before(e.expires) {
		c.removeLocked(el)
		return result{}, false
	}
	c.used.MoveToFront(el)
	return e.result, true
}

func (c *cache) put(k key, r result) {
	limit := maxTTL
	if len(r.addrs) == 0 {
		limit = maxMissing
	}
	ttl := min(r.ttl, limit)
	if ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.entries[k]; el != nil {
		c.removeLocked(el)
	}
	for len(c.entries) >= maxCached {
		c.removeLocked(c.used.Back())
	}
	c.entries[k] = c.used.PushFront(&entry{k, r, time.Now().Add(ttl)})
}

func (c *cache) removeLocked(el *list.Element) {
	delete(c.entries, el.Value.(*entry).key)
	c.used.Remove(el)
}
