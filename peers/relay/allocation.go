// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import "github.com/tunrouter/tunrouter/peers/disco"

// allocateLocked answers Allocate: there is one session for a pair of clients,
// whoever asks and however often.
func (t *Table) allocateLocked(tn *turn) Drop {
	if !t.provenLocked(tn) {
		return t.challengeLocked(tn)
	}
	if drop := t.admitLocked(tn, true); drop != DropNone {
		return drop
	}
	m := disco.RelayMessage{Type: disco.TypeAllocated, Key: tn.msg.Key}
	s, status := t.sessionLocked(tn.now, tn.client, t.clients[tn.msg.Key])
	m.Status = status
	if s != nil {
		m.VNI, m.Generation, m.Seconds = s.vni.Value(), s.generation, s.bindSeconds(tn.now)
	}
	tn.answer(tn.src.place(), m)
	if s != nil {
		t.tellLocked(tn, s)
	}
	return DropNone
}

// sessionLocked returns the session of two clients, as it is after c has asked
// for it, or says why there is none. other is nil when it is not on the list.
func (t *Table) sessionLocked(now int64, c, other *client) (*session, disco.Status) {
	if other == nil || other == c {
		return nil, disco.StatusNotAllowed
	}
	if s := c.sessions[other]; s != nil {
		why := s.expired(now)
		if why == endedNot {
			s.allocated = now
			return s, disco.StatusDone
		}
		t.endLocked(s, why)
	}
	if !other.registered(now) {
		return nil, disco.StatusNotRegistered
	}
	if len(c.sessions) >= t.perClient || len(other.sessions) >= t.perClient {
		return nil, disco.StatusLimit
	}
	t.sessions++
	s := &session{
		generation: t.sessions,
		clients:    [2]*client{c, other},
		created:    now, allocated: now, told: now - int64(tellPause),
	}
	if !t.slots.put(s) {
		return nil, disco.StatusLimit
	}
	c.sessions[other], other.sessions[c] = s, s
	return s, disco.StatusDone
}

// tellLocked tells the client that did not ask about the session, at the address
// of its registration.
func (t *Table) tellLocked(tn *turn, s *session) {
	other := s.clients[1-s.sideOf(tn.client)]
	if !other.registered(tn.now) || tn.now-s.told < int64(tellPause) ||
		!t.limit.take(tn.now, true, answersTotal, answersTotal) {
		return
	}
	s.told = tn.now
	tn.add(answer{
		client: other, epoch: other.epoch, to: other.at,
		msg: disco.RelayMessage{
			Type: disco.TypeAllocated, Key: tn.client.key,
			VNI: s.vni.Value(), Generation: s.generation, Seconds: s.bindSeconds(tn.now),
		},
	})
}

// endLocked ends a session.
func (t *Table) endLocked(s *session, why ended) {
	if s.over {
		return
	}
	s.over = true
	t.slots.remove(s)
	a, b := s.clients[0], s.clients[1]
	delete(a.sessions, b)
	delete(b.sessions, a)
	t.ended[why]++
}
