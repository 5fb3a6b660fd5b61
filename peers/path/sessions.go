// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"maps"
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

const (
	// sessionSilence is after how long without a frame a session has ended.
	sessionSilence = 5 * time.Minute
	// allocateAgain is between Allocates for a session that is used.
	allocateAgain = 10 * time.Minute
	// bindAfter is how long a Ping over a bound session stays unanswered before
	// binding again is tried.
	bindAfter = time.Second
	// bindWithin is how long there is to bind, if the relay does not say.
	bindWithin = 30 * time.Second
	// maxTries is how often a session is bound again that nothing is sent over.
	maxTries = 5
)

// A session is what a relay keeps for a peer and us. One that the relay has not
// given us has no path.
type session struct {
	relay *relayClient
	peer  *peer

	// allocation
	allocating bool
	tx         disco.TxID // of the Allocate under way
	challenges int
	next       moment // Allocate
	delay      time.Duration
	allocated  moment
	lastAsk    moment
	status     disco.Status

	// what the relay gave us
	path       Path
	generation uint64
	bindUntil  moment
	cand       *candidate

	// binding
	bound     bool
	boundAt   moment
	binding   bool
	bindTx    disco.TxID
	answered  bool // the challenge of bindTx
	nextBind  moment
	bindDelay time.Duration
	lastBind  moment
	tries     int // Binds without Bound
}

// session returns the one of the peer over r, which it makes if there is none.
func (p *peer) session(r *relayClient) *session {
	for _, s := range p.sessions {
		if s.relay == r {
			return s
		}
	}
	s := &session{relay: r, peer: p, delay: minDelay, bindDelay: minDelay}
	p.sessions = append(p.sessions, s)
	return s
}

// runSessions does what is due with relays.
func (p *peer) runSessions(at moment) {
	if p.isActive(at) && p.router != routerNo {
		for _, r := range p.a.relays {
			if r.registered(at) {
				p.session(r)
			}
		}
	}
	for _, s := range p.sessions {
		s.run(at)
	}
}

// run asks for the session, binds it, keeps it or lets it go.
func (s *session) run(at moment) {
	active := s.peer.isActive(at)
	switch {
	case s.path.IsSet() && !s.bound && at >= s.bindUntil:
		s.end(at)
	case s.path.IsSet() && s.bound && at-max(s.boundAt, s.cand.heard) >= sessionSilence:
		s.end(at)
	}
	if at >= s.allocateAt(at) && s.relay.allocates.take(at, allocateInterval, allocateBurst) {
		s.challenges = 0
		s.next = at + s.delay
		s.delay = min(2*s.delay, maxDelay)
		s.sendAllocate(at)
	}
	if s.bound && active && s.deaf(at) {
		// Our NAT, or the relay, may have forgotten us: bind now, and find out
		// whether the relay is there.
		if at >= s.nextBind {
			s.relay.askAgain(at)
			if s.bindDelay > minDelay {
				// That did not help. The peer may have moved without noticing: the
				// relay tells it about the session again.
				s.allocateNow(at)
			}
			s.bind(at)
		}
	} else if s.bound && s.binding && s.tries < maxTries && at >= s.nextBind {
		s.bind(at) // Bind or the answer was lost
	} else if s.bound && s.cand.heard > s.lastBind {
		s.bindDelay = minDelay
	}
	if s.path.IsSet() && !s.bound && at >= s.nextBind {
		s.bindDelay = minDelay
		s.bind(at)
	}
}

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

// due returns when run is to be called.
func (s *session) due(at moment) moment {
	due := s.allocateAt(at)
	if s.path.IsSet() && !s.bound {
		due = min(due, s.nextBind, s.bindUntil)
	}
	if s.bound {
		due = min(due, max(s.boundAt, s.cand.heard)+sessionSilence)
		if asked := s.peer.oldestUnanswered(s.cand); asked != 0 && s.peer.isActive(at) {
			due = min(due, max(s.nextBind, asked+s.deafAfter()))
		}
	}
	if s.bound && s.binding && s.tries < maxTries {
		due = min(due, s.nextBind)
	}
	if due <= at { // a limit is in the way
		due = at + allocateInterval
	}
	return due
}

// deaf reports whether nothing comes over a bound session though it should.
func (s *session) deaf(at moment) bool {
	asked := s.peer.oldestUnanswered(s.cand)
	return asked != 0 && at-asked >= s.deafAfter() && s.cand.heard < asked
}

// deafAfter is how long a Ping stays unanswered: shorter when it is in use.
func (s *session) deafAfter() time.Duration {
	after := bindAfter
	if s.peer.primary == s.cand {
		after = askAfter
	}
	return after + 2*s.cand.rtt
}

// begin makes all that is due later due now: the peer has become active.
func (s *session) begin(at moment) {
	s.delay = minDelay
	if !s.path.IsSet() && s.status != disco.StatusNotAllowed {
		s.next = min(s.next, max(at, s.lastAsk+minDelay))
	}
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

// end forgets what the relay gave.
func (s *session) end(at moment) {
	if !s.path.IsSet() {
		return
	}
	s.peer.a.carry(s.path, nil)
	if s.cand != nil {
		s.peer.dropCandidate(at, s.cand)
	}
	s.path, s.generation, s.cand = Path{}, 0, nil
	s.bound, s.binding = false, false
}

// carry publishes which session a path is of; nil: none.
func (a *Agent) carry(over Path, s *session) {
	m := maps.Clone(*a.carried.Load())
	if s == nil {
		delete(m, over)
	} else {
		if m == nil {
			m = make(map[Path]*session)
		}
		m[over] = s
	}
	a.carried.Store(&m)
}

func (p *peer) dropSessions() {
	for _, s := range p.sessions {
		s.end(p.a.last)
	}
	p.sessions = nil
}

// relaysChanged drops the sessions over relays that are gone.
func (p *peer) relaysChanged(at moment) {
	p.sessions = slices.DeleteFunc(p.sessions, func(s *session) bool {
		if s.relay.gone {
			s.end(at)
		}
		return s.relay.gone
	})
	for i := 0; i < len(p.cands); {
		if c := p.cands[i]; !c.path.VNI.IsSet() && p.a.isRelay(c.path.Addr) {
			p.dropCandidate(at, c)
			continue
		}
		i++
	}
}

// relayIsThere goes on with a relay that we are registered with.
func (p *peer) relayIsThere(at moment, r *relayClient, restarted, moved bool) {
	for _, s := range p.sessions {
		if s.relay != r {
			continue
		}
		other := s.path.IsSet() && s.path.Addr != r.addr()
		if restarted || other {
			s.end(at)
		}
		if restarted || other || s.status == disco.StatusDone {
			s.begin(at)
		}
		if moved {
			s.bindAgain(at)
		}
	}
	p.run(at)
}
