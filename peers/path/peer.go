// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"encoding/base64"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

const (
	// activeFor is how long after something was sent to it a peer is active.
	activeFor = 45 * time.Second
	never     = moment(1<<63 - 1)
)

// How often the traffic of a peer is looked at. A router is looked at often
// enough that it finds its paths before a person notices; a plain peer is of no
// interest until it is to be asked again.
const (
	lookHot     = 100 * time.Millisecond // something was sent in the last moments
	lookActive  = 250 * time.Millisecond
	lookRouter  = 500 * time.Millisecond
	lookUnknown = time.Second
	lookPlain   = 10 * time.Second
)

// A peer is all that is known about one peer.
type peer struct {
	contact
	a     *Agent
	key   Key
	index int  // in Agent.order
	mute  bool // it cannot be a router

	question // is it a router?

	// what the device does
	sent     uint64 // Traffic.Sent at the last look
	lastSent moment // something was sent
	wanted   moment

	// where it may be
	configured Path
	cands      []*candidate
	pings      []ping // under way
	sessions   []*session

	// what is in use
	primary   *candidate
	choice    Choice
	since     moment // of choice.Primary
	chosenAt  moment // of primary
	doubt     doubt
	otherAt   moment // a packet came over otherPath, which is not the primary
	pingedAt  moment // a Ping came over another path than the primary
	otherPath Path
	lastOver  Path // of the last packet
	moved     bool // packets came over the primary path and then over another
	switches  uint64

	exchange
	calls []*call

	// limits
	pongs [2]bucket // over trusted paths, and others
	fresh bucket    // new candidates
}

// isActive reports whether something was sent to the peer not long ago.
func (p *peer) isActive(at moment) bool { return at-p.lastSent < activeFor }

// touch notes that something was sent, or wanted to be, to the peer.
func (p *peer) touch(at moment) {
	was := p.isActive(at)
	p.lastSent = at
	if was {
		return
	}
	// Everything that was known is asked again.
	p.announce = true
	for _, s := range p.sessions {
		s.begin(at)
	}
	p.burst(at)
}

// look reads what the device has sent.
func (p *peer) look(at moment) {
	if sent := p.a.net.Traffic(p.key).Sent; sent != p.sent {
		p.sent = sent
		p.touch(at)
	}
}

// run does what is due and notes when something is next. It is called when the
// peer is due and after everything that happened.
func (p *peer) run(at moment) {
	if p.mute || p.gone {
		return
	}
	p.look(at)
	if p.router == routerNo {
		p.askAgainLater(at)
	}
	if p.router == routerNo && len(p.cands)+len(p.sessions)+len(p.calls) == 0 {
		p.a.order[p.index].due = at + lookPlain
		return
	}
	p.expirePings(at)
	p.ask(at)
	p.runSessions(at)
	p.choose(at)
	p.measureAll(at)
	p.pingDue(at)
	p.tell(at)
	p.runCalls(at)
	p.a.order[p.index].due = max(p.due(at), at+time.Millisecond)
}

// due returns when run is to be called next.
func (p *peer) due(at moment) moment {
	due := at + p.lookAgain(at)
	due = min(due, p.nextAsk())
	for _, s := range p.sessions {
		due = min(due, s.due(at))
	}
	for _, c := range p.cands {
		due = min(due, p.pingAt(at, c), p.measureAt(at, c))
		if c.trusted(at) {
			due = min(due, c.trustedUntil)
		}
	}
	if len(p.pings) > 0 {
		due = min(due, p.pings[0].sent+givenUp)
	}
	return min(due, p.nextTell(at), p.nextCall())
}

func (p *peer) lookAgain(at moment) time.Duration {
	switch {
	case p.router == routerNo:
		return lookPlain
	case p.router == routerUnknown:
		return lookUnknown
	case at-p.lastSent < talking+2*lookHot || p.doubt.on || at-p.otherAt < talking:
		return lookHot
	case p.isActive(at):
		return lookActive
	}
	return lookRouter
}

// heardPackets notes that authenticated packets came over this path.
func (p *peer) heardPackets(at moment, over Path) {
	first := p.heardNow(at)
	c := p.candidate(over)
	if c == nil && !over.VNI.IsSet() && (p.router == routerYes || first) {
		c = p.addCandidate(at, over, kindHeard)
	}
	if c != nil {
		c.heard, c.packet = at, at
	}
	urgent := false
	if p.primary != nil && over != p.primary.path {
		if p.lastOver == p.primary.path {
			p.moved = true
		}
		urgent = at-p.otherAt > lookHot
		p.otherAt, p.otherPath = at, over
	} else if p.doubt.on {
		urgent = true
	}
	p.lastOver = over
	if first {
		p.askNow(at, over)
		urgent = true
	}
	if urgent {
		p.run(at)
	}
}

// networkChanged asks everything again.
func (p *peer) networkChanged(at moment) {
	if p.mute {
		return
	}
	for _, c := range p.cands {
		c.width = widthState{}
	}
	if !p.isActive(at) {
		return
	}
	p.announce = true
	for _, s := range p.sessions {
		s.begin(at)
		s.bindAgain(at)
	}
	p.burst(at)
	p.a.wake(p, at)
}

// received handles an authentic message of the peer. It may be an old one that
// somebody sends again: each type has its own limit or cannot be repeated.
func (p *peer) received(at moment, from Path, t disco.MessageType, body []byte) drop {
	p.isRouter(at)
	c := p.candidate(from)
	if c != nil {
		c.heard = at
	}
	var why drop
	switch t {
	case disco.TypePing:
		why = p.receivedPing(at, from, c, body)
	case disco.TypePong:
		why = p.receivedPong(at, from, c, body)
	case disco.TypeCandidates:
		why = p.receivedCandidates(at, from, body)
	default:
		why = dropMalformed // of the other domain
	}
	if why == dropNone {
		p.a.stats.received[t]++
		p.run(at)
	}
	return why
}

// shortKey is a public key as operators know it from wg-tools.
func shortKey(k Key) string { return base64.StdEncoding.EncodeToString(k[:])[:8] + "…" }
