// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"math/bits"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/geneve"
)

// maxSlots leaves 4 bits of a VNI to tell sessions of one slot apart.
const maxSlots = 1 << 20

// slots are the sessions by VNI. The low bits of a VNI are the index of its slot,
// the others count how often the slot was used:
//
//	23            14 13                    0
//	+---------------+-----------------------+
//	| uses          | slot                  |   with 10,000 slots
//	+---------------+-----------------------+
//
// Finding one is a load, without a lock. A slot that becomes free is used again
// after all others that are free, so that an old VNI is of no use for long.
type slots struct {
	sessions []atomic.Pointer[session]
	mask     uint32
	bits     int

	// guarded by the mutex of the table
	uses []uint32
	free []uint32 // a ring
	next int      // index in free of the slot to use next
	left int      // how many are free
}

// newSlots returns n slots. first is how often they were used already: a random
// number, so that a relay that was restarted does not give out the same VNIs.
func newSlots(n int, first uint32) *slots {
	s := &slots{
		sessions: make([]atomic.Pointer[session], n),
		bits:     bits.Len(uint(n - 1)),
		uses:     make([]uint32, n),
		free:     make([]uint32, n),
		left:     n,
	}
	s.mask = 1<<s.bits - 1
	for i := range n {
		s.uses[i] = first
		s.free[i] = uint32(i)
	}
	return s
}

// get returns the session with that VNI, or nil.
func (s *slots) get(vni geneve.VNI) *session {
	i := vni.Value() & s.mask
	if i >= uint32(len(s.sessions)) {
		return nil
	}
	if found := s.sessions[i].Load(); found != nil && found.vni == vni {
		return found
	}
	return nil
}

// put gives session a slot and a VNI, and reports whether there was one.
func (s *slots) put(session *session) bool {
	if s.left == 0 {
		return false
	}
	i := s.free[s.next]
	s.next = (s.next + 1) % len(s.free)
	s.left--
	s.uses[i]++
	v := (s.uses[i]<<s.bits | i) & geneve.MaxVNI
	if v == 0 { // looks like none in logs and messages
		s.uses[i]++
		v = (s.uses[i]<<s.bits | i) & geneve.MaxVNI
	}
	session.slot = i
	session.vni, _ = geneve.MakeVNI(v) // 24 bits
	s.sessions[i].Store(session)
	return true
}

// remove frees the slot of session.
func (s *slots) remove(session *session) {
	s.sessions[session.slot].Store(nil)
	s.free[(s.next+s.left)%len(s.free)] = session.slot
	s.left++
}

// used returns how many slots are in use.
func (s *slots) used() int { return len(s.sessions) - s.left }
