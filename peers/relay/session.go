// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
)

// How long sessions live.
const (
	bindLife    = 30 * time.Second       // both legs bind within it after an allocation
	silentLife  = 5 * time.Minute        // a leg was heard within it
	sessionLife = time.Hour              // after the last allocation
	tellPause   = 500 * time.Millisecond // between two Allocated that tell the other client
)

// A session is what the relay keeps for a pair of clients. Side 0 is the client
// that asked first.
type session struct {
	// immutable
	vni        geneve.VNI
	generation uint64
	slot       uint32
	clients    [2]*client

	at [2]atomic.Pointer[place] // where the legs are bound; nil: not bound

	// Each side is written by the goroutine that its client is heard by.
	traffic [2]traffic

	// guarded by the mutex of the table
	over      bool
	created   int64
	allocated int64 // when it was last asked for
	told      int64 // when the other client was last told
	binds     [2]uint32
}

// traffic is what came from one leg.
type traffic struct {
	heard  atomic.Int64
	frames atomic.Uint64 // forwarded
	bytes  atomic.Uint64
	_      [40]byte // a cache line for each leg
}

// aliveStep is how exactly the relay remembers when a leg was heard. It keeps
// goroutines that hear both legs from writing all the time.
const aliveStep = int64(time.Second)

func (t *traffic) alive(now int64) {
	if now-t.heard.Load() >= aliveStep {
		t.heard.Store(now)
	}
}

// sideOf returns the side of c, or -1.
func (s *session) sideOf(c *client) int {
	for i, o := range s.clients {
		if o == c {
			return i
		}
	}
	return -1
}

func (s *session) bound() bool { return s.at[0].Load() != nil && s.at[1].Load() != nil }

// claim is what a cookie for a leg at addr says.
func (s *session) claim(side int, addr netip.AddrPort, moves uint32) *claim {
	return &claim{
		purpose: forBind, key: s.clients[side].key, addr: addr,
		vni: s.vni.Value(), generation: s.generation, moves: moves,
	}
}

// expired returns why the session is over by now.
func (s *session) expired(now int64) ended {
	switch {
	case now-s.allocated >= int64(sessionLife):
		return endedTooLong
	case !s.bound():
		if now-s.allocated >= int64(bindLife) {
			return endedNotBound
		}
	case now-min(s.traffic[0].heard.Load(), s.traffic[1].heard.Load()) >= int64(silentLife):
		return endedSilent
	}
	return endedNot
}

// bindSeconds returns how long there is to bind.
func (s *session) bindSeconds(now int64) uint16 {
	if s.bound() {
		return uint16(bindLife / time.Second)
	}
	return uint16(max(0, s.allocated+int64(bindLife)-now) / int64(time.Second))
}

// ended says why a session ended.
type ended uint8

const (
	endedNot ended = iota
	endedNotBound
	endedSilent
	endedTooLong
	endedNotAllowed
	numEnded
)

var endedNames = [numEnded]string{
	endedNotBound:   "not_bound",
	endedSilent:     "silent",
	endedTooLong:    "too_long",
	endedNotAllowed: "not_allowed",
}
