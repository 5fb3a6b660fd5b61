// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"encoding/base64"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// messageCounters count messages between clients and relay by type.
type messageCounters struct {
	in, out [disco.TypeUnknown + 1]atomic.Uint64
}

func (c *messageCounters) received(t disco.MessageType) { c.in[t].Add(1) }
func (c *messageCounters) sent(t disco.MessageType)     { c.out[t].Add(1) }

func byType(c *[disco.TypeUnknown + 1]atomic.Uint64, types ...disco.MessageType) map[string]uint64 {
	m := make(map[string]uint64, len(types))
	for _, t := range types {
		m[t.String()] = c[t].Load()
	}
	return m
}

// TableStats are the counters and sizes of a [Table].
type TableStats struct {
	// Clients is how many are on the list, Registrations how many of them are
	// registered.
	Clients       int `json:"clients"`
	Registrations int `json:"registrations"`
	// Sessions is how many there are, Bound those with both legs.
	Sessions int `json:"sessions"`
	Bound    int `json:"bound"`
	// Ended counts sessions that ended, by reason: not_bound, silent, too_long,
	// not_allowed.
	Ended map[string]uint64 `json:"ended"`
	// Questions and Answers count authentic messages by type.
	Questions map[string]uint64 `json:"questions"`
	Answers   map[string]uint64 `json:"answers"`
	// Dropped counts what went no further, by reason, see [Drop].
	Dropped map[string]uint64 `json:"dropped"`
}

// Stats returns a snapshot of the counters.
func (t *Table) Stats(now time.Time) TableStats {
	s := TableStats{
		Ended: make(map[string]uint64, numEnded-1),
		Questions: byType(&t.counted.in,
			disco.TypeRegister, disco.TypeAllocate, disco.TypeBind, disco.TypeBindAnswer),
		Answers: byType(&t.counted.out,
			disco.TypeChallenge, disco.TypeRegistered, disco.TypeAllocated,
			disco.TypeBindChallenge, disco.TypeBound, disco.TypeUnknown),
		Dropped: t.drops.snapshot(),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.since(now)
	s.Clients, s.Sessions = len(t.clients), t.slots.used()
	for _, c := range t.clients {
		if c.registered(at) {
			s.Registrations++
		}
		for _, session := range c.sessions {
			if session.clients[0] == c && session.bound() {
				s.Bound++
			}
		}
	}
	for why := endedNot + 1; why < numEnded; why++ {
		s.Ended[endedNames[why]] = t.ended[why]
	}
	return s
}

// SessionStatus is one session.
type SessionStatus struct {
	VNI        uint32       `json:"vni"`
	Generation uint64       `json:"generation"`
	Created    time.Time    `json:"created"`
	Allocated  time.Time    `json:"allocated"` // when it was last asked for
	Bound      bool         `json:"bound"`     // both legs are
	Legs       [2]LegStatus `json:"legs"`
}

// LegStatus is one leg of a session.
type LegStatus struct {
	Key disco.Key `json:"-"`
	// PublicKey is Key as WireGuard's tools write it.
	PublicKey string `json:"public_key"`
	// Addr is where the leg is bound; the zero AddrPort when it is not.
	Addr netip.AddrPort `json:"addr"`
	// Source is the address of this host that the leg is sent to from; the zero
	// Addr when the kernel chooses.
	Source netip.Addr `json:"source"`
	// Heard is when a frame came from there last, to a second; the zero Time when
	// the leg is not bound.
	Heard time.Time `json:"heard"`
	// Frames and Bytes came from there and were forwarded; bytes with the Geneve
	// header.
	Frames uint64 `json:"frames"`
	Bytes  uint64 `json:"bytes"`
}

// Sessions returns all sessions, in no order.
func (t *Table) Sessions() []SessionStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]SessionStatus, 0, t.slots.used())
	for i := range t.slots.sessions {
		if s := t.slots.sessions[i].Load(); s != nil {
			out = append(out, t.statusLocked(s))
		}
	}
	return out
}

func (t *Table) statusLocked(s *session) SessionStatus {
	st := SessionStatus{
		VNI: s.vni.Value(), Generation: s.generation, Bound: s.bound(),
		Created: t.timeLocked(s.created), Allocated: t.timeLocked(s.allocated),
	}
	for i := range s.clients {
		leg := &st.Legs[i]
		leg.Key = s.clients[i].key
		leg.PublicKey = base64.StdEncoding.EncodeToString(leg.Key[:])
		leg.Frames = s.traffic[i].frames.Load()
		leg.Bytes = s.traffic[i].bytes.Load()
		if p := s.at[i].Load(); p != nil {
			leg.Addr, leg.Source = p.addr, p.dst.Local()
			leg.Heard = t.timeLocked(s.traffic[i].heard.Load())
		}
	}
	return st
}

func (t *Table) timeLocked(at int64) time.Time { return t.start.Add(time.Duration(at)) }
