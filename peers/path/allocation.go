// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// allocateAt returns when the next Allocate is due.
func (s *session) allocateAt(at moment) moment {
	if !s.peer.isActive(at) || s.peer.router == routerNo || !s.relay.registered(at) || s.relay.gone {
		return never
	}
	if s.path.IsSet() {
		return max(s.next, s.allocated+allocateAgain)
	}
	return s.next
}

// allocateNow asks the relay for a session that is there already.
func (s *session) allocateNow(at moment) {
	if at-s.lastAsk >= minDelay && s.relay.registered(at) && s.relay.allocates.take(at, allocateInterval, allocateBurst) {
		s.challenges = 0
		s.sendAllocate(at)
	}
}

func (s *session) sendAllocate(at moment) {
	s.allocating, s.tx, s.lastAsk = true, s.relay.a.txID(), at
	m := disco.RelayMessage{Type: disco.TypeAllocate, TxID: s.tx, Cookie: s.relay.cookie, Key: s.peer.key}
	s.relay.send(m, Path{Addr: s.relay.addr()})
}

// receivedAllocated takes a session that we asked for, or that the other client
// did.
func (r *relayClient) receivedAllocated(at moment, from Path, m *disco.RelayMessage) drop {
	p := r.a.peers[m.Key]
	if p == nil || p.mute || from.Addr != r.addr() {
		return dropUnexpected
	}
	if m.TxID == (disco.TxID{}) {
		return p.toldOfSession(at, r, m)
	}
	s := r.sessionOf(func(s *session) bool { return s.peer == p && s.allocating && s.tx == m.TxID })
	if s == nil {
		return dropUnexpected
	}
	s.allocating, s.status = false, m.Status
	switch m.Status {
	case disco.StatusDone:
		s.delay, s.allocated = minDelay, at
		s.take(at, from, m)
	case disco.StatusNotAllowed:
		s.next = at + allocateAgain
	}
	p.run(at)
	return dropNone
}

// toldOfSession handles an Allocated that nobody asked for. It may be an old one
// that somebody sends again, so that it does not replace a session that is there:
// the relay is asked.
func (p *peer) toldOfSession(at moment, r *relayClient, m *disco.RelayMessage) drop {
	if m.Status != disco.StatusDone {
		return dropMalformed
	}
	if !r.told.take(at, toldInterval, toldBurst) {
		return dropLimited
	}
	s := p.session(r)
	over := Path{Addr: r.addr()}
	switch {
	case !s.path.IsSet():
		s.take(at, over, m)
	case s.generation == m.Generation && s.path.VNI.Value() == m.VNI:
		s.bindAgain(at) // the peer does not hear us
	default:
		s.allocateNow(at)
	}
	p.run(at)
	return dropNone
}

// take takes over what the relay gave, and binds it.
func (s *session) take(at moment, from Path, m *disco.RelayMessage) {
	vni, err := geneve.MakeVNI(m.VNI)
	if err != nil { // not decoded
		return
	}
	over := Path{Addr: from.Addr, VNI: vni}
	if over == s.path && m.Generation == s.generation {
		return
	}
	if other := (*s.peer.a.carried.Load())[over]; other != nil && other != s {
		// The relay gave it to others since, so that the other one is over.
		other.end(at)
		other.peer.run(at)
	}
	s.end(at)
	s.path, s.generation = over, m.Generation
	s.peer.a.carry(s.path, s)
	within := time.Duration(m.Seconds) * time.Second
	if within <= 0 {
		within = bindWithin
	}
	s.bindUntil = at + min(within, bindWithin)
	s.bindDelay = minDelay
	s.bind(at)
}
