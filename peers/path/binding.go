// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import "github.com/tunrouter/tunrouter/peers/disco"

// bind begins to bind our leg to where we are.
func (s *session) bind(at moment) {
	s.binding, s.answered = true, false
	s.bindTx, s.lastBind = s.peer.a.txID(), at
	s.tries++
	s.nextBind = at + s.bindDelay
	s.bindDelay = min(2*s.bindDelay, maxDelay/2)
	s.sendControl(disco.RelayMessage{Type: disco.TypeBind})
}

// bindAgain binds a session that was bound as soon as that may be.
func (s *session) bindAgain(at moment) {
	if s.bound && at-s.lastBind >= minDelay {
		s.bindDelay, s.tries = minDelay, 0
		s.bind(at)
	}
}

func (s *session) sendControl(m disco.RelayMessage) {
	m.TxID, m.VNI, m.Generation = s.bindTx, s.path.VNI.Value(), s.generation
	s.relay.send(m, s.path)
}

// receivedOfSession handles what the relay says about one session.
func (r *relayClient) receivedOfSession(at moment, from Path, m *disco.RelayMessage) drop {
	s := (*r.a.carried.Load())[from]
	if s == nil || s.relay != r || !s.binding || m.TxID != s.bindTx {
		return dropUnexpected
	}
	if m.Type != disco.TypeUnknown && m.Generation != s.generation {
		return dropUnexpected
	}
	switch m.Type {
	case disco.TypeBindChallenge:
		if s.answered {
			return dropUnexpected
		}
		s.answered = true
		s.sendControl(disco.RelayMessage{Type: disco.TypeBindAnswer, Cookie: m.Cookie})
		return dropNone
	case disco.TypeBound:
		s.binding, s.tries = false, 0
		s.isBound(at)
		r.a.ours.observe(at, r.key, true, m.Addr)
	case disco.TypeUnknown:
		s.end(at)
		s.delay = minDelay
		s.next = max(at, s.lastAsk+minDelay)
	default:
		return dropUnexpected
	}
	s.peer.run(at)
	return dropNone
}

// isBound makes the session a candidate, and asks over it.
func (s *session) isBound(at moment) {
	p := s.peer
	if s.cand == nil {
		if s.cand = p.addCandidate(at, s.path, kindRelay); s.cand == nil {
			s.end(at)
			return
		}
		s.cand.session = s
		s.cand.burstUntil = at + burstTime
	}
	first := !s.bound
	s.bound, s.boundAt = true, at
	if first || !s.cand.trusted(at) {
		p.pingCandidate(at, s.cand)
	}
}
