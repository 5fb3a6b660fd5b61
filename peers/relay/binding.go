// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import "github.com/tunrouter/tunrouter/peers/disco"

// legLocked returns the session that a Bind or BindAnswer names and the side of
// who asks. A session of others is as unknown as one that never was.
func (t *Table) legLocked(tn *turn) (s *session, side int) {
	s = t.slots.get(tn.vni)
	if s == nil || s.generation != tn.msg.Generation {
		return nil, 0
	}
	if why := s.expired(tn.now); why != endedNot {
		t.endLocked(s, why)
		return nil, 0
	}
	if side = s.sideOf(tn.client); side < 0 {
		return nil, 0
	}
	return s, side
}

// bindLocked answers Bind with a cookie, and keeps nothing.
func (t *Table) bindLocked(tn *turn) Drop {
	s, side := t.legLocked(tn)
	if s == nil {
		return t.unknownLocked(tn)
	}
	if other := s.at[1-side].Load(); other != nil && other.addr == tn.src.remote {
		return DropSameAddress
	}
	if drop := t.admitLocked(tn, false); drop != DropNone {
		return drop
	}
	tn.answer(tn.src.place(), disco.RelayMessage{
		Type: disco.TypeBindChallenge, VNI: s.vni.Value(), Generation: s.generation,
		Cookie: t.cookies.bake(s.claim(side, tn.src.remote, s.binds[side])),
	})
	return DropNone
}

// bindAnswerLocked moves the leg to where its cookie shows that the client is.
func (t *Table) bindAnswerLocked(tn *turn) Drop {
	s, side := t.legLocked(tn)
	if s == nil {
		return t.unknownLocked(tn)
	}
	from := tn.src.remote
	if other := s.at[1-side].Load(); other != nil && other.addr == from {
		return DropSameAddress
	}
	at, moves := s.at[side].Load(), s.binds[side]
	here := at != nil && at.addr == from
	// The cookie from before the last move is good for a BindAnswer that came
	// twice: the leg is there already.
	if !t.cookies.good(&tn.msg.Cookie, s.claim(side, from, moves)) &&
		!(here && t.cookies.good(&tn.msg.Cookie, s.claim(side, from, moves-1))) {
		return DropCookie
	}
	if drop := t.admitLocked(tn, true); drop != DropNone {
		return drop
	}
	p := tn.src.place()
	if !here {
		s.binds[side]++
	}
	s.traffic[side].heard.Store(tn.now)
	s.at[side].Store(p)
	tn.answer(p, disco.RelayMessage{
		Type: disco.TypeBound, VNI: s.vni.Value(), Generation: s.generation, Addr: p.addr,
	})
	return DropNone
}

// unknownLocked says that there is no such session.
func (t *Table) unknownLocked(tn *turn) Drop {
	if drop := t.admitLocked(tn, false); drop != DropNone {
		return drop
	}
	tn.answer(tn.src.place(), disco.RelayMessage{Type: disco.TypeUnknown, VNI: tn.vni.Value()})
	return DropNone
}
