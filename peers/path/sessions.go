// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"maps"
	"slices"
	"time"

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
